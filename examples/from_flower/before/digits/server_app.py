"""What the server does: federated averaging over all nodes."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits.task import make_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds, print what they came to, and write the model."""
    config = context.run_config
    strategy = FedAvg(min_train_nodes=4, min_evaluate_nodes=4, min_available_nodes=4)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(make_model().state_dict()),
        num_rounds=config["rounds"],
        train_config=ConfigRecord({"lr": config["lr"]}),
    )
    for number, metrics in result.evaluate_metrics_clientapp.items():
        print(f"round {number}: loss {metrics['loss']:.4f}, accuracy {metrics['accuracy']:.4f}")
    torch.save(result.arrays.to_torch_state_dict(), config["model"])
