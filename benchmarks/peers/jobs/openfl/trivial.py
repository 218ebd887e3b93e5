"""OpenFL's side of the trivial task, with the base task runner and NumPy: no framework is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from openfl.federated.data.loader import DataLoader
from openfl.federated.task.runner import TaskRunner
from openfl.utilities import TensorKey

SIZES = json.loads((Path(__file__).parent / "sizes.json").read_text())
NAMES = [f"t{number:04d}" for number in range(SIZES["tensors"])]


class NoData(DataLoader):
    """The task needs none; each site counts as one example."""

    def get_feature_shape(self) -> None:
        return None

    def get_train_data_size(self) -> int:
        return 1

    def get_valid_data_size(self) -> int:
        return 1


class AddOne(TaskRunner):
    """Adds one to every tensor that came."""

    def get_tensor_dict(self, with_opt_vars: bool = False) -> dict[str, Any]:
        return {name: np.zeros(SIZES["count"], np.float32) for name in NAMES}

    def set_tensor_dict(self, tensor_dict: dict[str, Any], with_opt_vars: bool = False) -> None: ...

    def get_required_tensorkeys_for_function(self, func_name: str, **kwargs: Any) -> list[Any]:
        wanted = NAMES if func_name == "add_one" else []
        return [TensorKey(name, "GLOBAL", 0, False, ("model",)) for name in wanted]

    def initialize_tensorkeys_for_functions(self, with_opt_vars: bool = False) -> None: ...

    def add_one(
        self, col_name: str, round_num: int, input_tensor_dict: dict[str, Any], **kwargs: Any
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """The task. Rounds count from 0 here, and each adds one: what came must be the round's number."""
        if abs(input_tensor_dict[NAMES[0]][-1] - round_num) > 1e-3:
            raise ValueError(f"round {round_num} began with {input_tensor_dict[NAMES[0]][-1]}")
        return {
            TensorKey(name, col_name, round_num, False, ("trained",)): array + np.float32(1)
            for name, array in input_tensor_dict.items()
        }, {}

    def score(
        self, col_name: str, round_num: int, input_tensor_dict: dict[str, Any], **kwargs: Any
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """A constant; it costs a message and no tensor."""
        return {TensorKey("score", col_name, round_num, True, ("metric", "validate_agg")): np.array(0.0)}, {}
