"""NVFlare's side of the trivial task: zeros as first model, add one, note when a round was saved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.executor import Executor
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor


class Zeros(ModelPersistor):
    """Gives the first model; keeps each round's model in a file, as the NumPy persistor does."""

    def __init__(self, count: int, tensors: int, folder: str) -> None:
        super().__init__()
        self.count, self.tensors, self.folder = count, tensors, Path(folder)

    def load_model(self, fl_ctx: Any) -> Any:
        weights = {f"t{i:04d}": np.zeros(self.count, np.float32) for i in range(self.tensors)}
        return make_model_learnable(weights=weights, meta_props={})

    def save_model(self, model: Any, fl_ctx: Any) -> None:
        weights = model[ModelLearnableKey.WEIGHTS]
        np.savez(self.folder / "model.npz", **weights)
        with (self.folder / "marks").open("a") as file:
            file.write(f"{time.time()} {weights['t0000'][-1]}\n")


class AddOne(Executor):
    """The task, inside NVFlare's own client process: the shortest way that it offers."""

    def execute(self, task_name: str, shareable: Any, fl_ctx: Any, abort_signal: Any) -> Any:
        received = from_shareable(shareable).data
        trained = {name: array + np.float32(1) for name, array in received.items()}
        return DXO(DataKind.WEIGHTS, trained, {MetaKey.NUM_STEPS_CURRENT_ROUND: 1}).to_shareable()
