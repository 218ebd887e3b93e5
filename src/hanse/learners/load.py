"""Models of finished runs, read back into arrays or into a model of the user's."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from os import PathLike
from typing import Any, TypeVar, overload

import numpy as np

from hanse.core.values.parameters import Array, mismatch, personal_names, specs
from hanse.errors import StorageError, UpdateError
from hanse.files.paths import given_path
from hanse.learners.adapters.script_values import read_model, write_model
from hanse.learners.agreement import TENSOR
from hanse.learners.results import a_kind_of
from hanse.wire.tensors import open_file

M = TypeVar("M")

MODEL = "model.safetensors"
"""The model's file in a folder that a run was written to."""
RESULTS = "results"
"""The folder with a workflow's results in such a folder."""


@overload
def load(path: str | PathLike[str]) -> dict[str, Array]: ...


@overload
def load(path: str | PathLike[str], into: M, *, personal: Sequence[str] = ()) -> M: ...


def load(path: str | PathLike[str], into: Any = None, *, personal: Sequence[str] = ()) -> Any:
    """Read the model of a run.

    Args:
        path: A model file (`model.safetensors`, `best.safetensors`); or a folder that `hanse run export`
            or `hanse simulate --output` wrote, for its `model.safetensors`.
        into: A `torch.nn.Module`, or a dictionary of arrays or tensors with the same names and shapes;
            changed in place. Not given: arrays are returned.
        personal: As in the plan, patterns of the tensors that stayed at the sites, and that no file of a run
            has: `into` keeps its own.

    Returns:
        `into`; else the model's arrays by name, the caller's own.

    Raises:
        ConfigError: `path` is not a path.
        StorageError: The file does not exist, or cannot be read.
        UpdateError: The file is not a file of tensors; or its tensors are not those of `into`, with the
            names of those that differ.
        TypeError: `into` is neither a module nor such a dictionary.
    """
    file = given_path(path, "hanse.load")
    if file.is_dir():
        file /= MODEL
    if not file.is_file():
        results = sorted((file.parent / RESULTS).glob("*.npz"))
        mend = "`hanse run export RUN` and `hanse simulate --output DIR` write one."
        if results:
            mend = f"The folder has results, which NumPy reads: numpy.load({str(results[0])!r})."
        raise StorageError(f"there is no model {file}", mend=mend)
    tensors = {name: array for name, array in open_file(file).items() if name != TENSOR}
    if into is None:
        return {name: np.array(array) for name, array in tensors.items()}
    if not hasattr(into, "state_dict") and not isinstance(into, MutableMapping):
        raise TypeError(f"into must be a torch.nn.Module or a dictionary of arrays, got {a_kind_of(into)}")
    whole = read_model(into)
    own = personal_names(whole.keys() - tensors.keys(), personal)
    if problem := mismatch(specs(tensors), specs({n: a for n, a in whole.items() if n not in own})):
        raise UpdateError(
            f"{file} does not fit the model that it is loaded into: {problem}",
            mend="Make the model as the plan's code makes it. Of tensors that stayed at the sites it keeps "
            "its own where they are named as in the plan: hanse.load(path, into=model, personal=[...]). "
            "hanse.load(path) gives the arrays alone.",
        )
    write_model(into, tensors, keep=own)
    return into
