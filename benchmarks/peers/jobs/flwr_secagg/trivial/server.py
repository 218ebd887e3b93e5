"""Zeros as first model, FedAvg over Flower's SecAgg+, and a note of the time when a round was closed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

# Each site masks with all others, as in a cell of Hanse; half of them can lift the masks of one that fails.
SHARES, THRESHOLD = 1.0, 0.5

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    asked = context.run_config
    sites, rounds, marks = int(asked["sites"]), int(asked["rounds"]), Path(str(asked["folder"])) / "marks"

    def mark(number, arrays, _config):
        if number:
            with marks.open("a") as file:
                file.write(f"{time.time()} {arrays[0][-1]}\n")

    zeros = [np.zeros(int(asked["count"]), np.float32) for _ in range(int(asked["tensors"]))]
    fedavg = FedAvg(
        fraction_evaluate=0.0,
        min_fit_clients=sites,
        min_available_clients=sites,
        evaluate_fn=mark,
        initial_parameters=ndarrays_to_parameters(zeros),
    )
    legacy = LegacyContext(context, ServerConfig(num_rounds=rounds), fedavg)
    # It masks models and not updates: the range, by default 8, has to hold the model, and weights of one are
    # rounded to nothing against the default of 1,000.
    secagg = SecAggPlusWorkflow(SHARES, THRESHOLD, max_weight=1.0, clipping_range=2.0 * rounds)
    DefaultWorkflow(fit_workflow=secagg)(grid, legacy)
