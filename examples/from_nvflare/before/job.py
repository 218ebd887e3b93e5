"""Federated averaging with four clients, in the simulator: `python job.py SITES WORKSPACE`."""

import json
import sys
from pathlib import Path

from model import Net
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

SITES = ["aachen", "bonn", "celle", "dresden"]

if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python job.py SITES WORKSPACE")
    folder, workspace = (Path(argument).resolve() for argument in sys.argv[1:])
    recipe = FedAvgRecipe(
        name="digits",
        model=Net(),
        min_clients=4,
        num_rounds=11,  # ten, and one that evaluates the last model
        train_script="client.py",
        train_args=f"{folder} 0.1",
    )
    recipe.add_client_file("model.py")
    run = recipe.execute(SimEnv(clients=SITES, num_threads=4, workspace_root=str(workspace)))
    report = Path(run.get_result(), "server", "simulate_job", "metrics", "round_metrics.jsonl")
    for line in map(json.loads, report.read_text("utf-8").splitlines()[1:]):
        metrics = {metric["name"]: metric["value"] for metric in line["aggregated_metrics"]}
        # What the clients of round 1 reported is of the model after round 0, the first here.
        print(f"round {line['round']}: loss {metrics['loss']:.4f}, accuracy {metrics['accuracy']:.4f}")
