"""The examples of a scikit-learn learner: inputs, targets, weights and the names of columns, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.core.values.parameters import Array
from hanse.core.values.site import LabelValue
from hanse.learners.results import is_masked

Data = tuple[npt.ArrayLike, npt.ArrayLike] | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
"""Inputs, targets, and perhaps a weight for each example."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples of one kind at one site.

    Attributes:
        x: Inputs, shape (examples, features), float64.
        y: Targets, shape (examples,), of regressors also (examples, targets).
        weight: Weight of each example, shape (examples,), float64, at least 0; None for 1 each.
        features: Names of the columns, where `x` was a data frame with names.
        targets: The same of `y`, where it has several columns.
    """

    x: Array
    y: Array
    weight: Array | None = None
    features: tuple[LabelValue, ...] | None = None
    targets: tuple[LabelValue, ...] | None = None

    @property
    def count(self) -> int:
        """Number of examples, those of weight 0 left out."""
        return len(self.y) if self.weight is None else int(np.count_nonzero(self.weight))

    def weights(self, chosen: Any = slice(None)) -> dict[str, Array]:
        """The weights of some examples as an argument for scikit-learn; none where they are 1 each."""
        return {} if self.weight is None else {"sample_weight": self.weight[chosen]}


def checked_examples(data: Data, name: str, *, labels: bool, column: bool = True) -> Examples:
    """Check the examples of one kind.

    Args:
        data: What the user gave.
        name: What they are, for the error: `train`.
        labels: Whether the targets are labels, not numbers.
        column: Whether targets that are numbers, shape (examples, 1), stay so; else, as labels always, they
            become (examples,).

    Raises:
        ValueError: They are not inputs, targets and perhaps weights that go together, or are sparse, or have
            masked or complex numbers.
    """
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        parts = f" of {len(data)} parts" if isinstance(data, tuple | list) else ""
        raise ValueError(
            f"{name} must be (inputs, targets) or (inputs, targets, sample_weight), "
            f"got a {type(data).__name__}{parts}"
        )
    for part in data:
        if is_masked(part):
            raise ValueError(f"{name} has masked numbers: leave those examples out, or give filled()")
        if isinstance(part, np.ndarray) and np.iscomplexobj(part):
            raise ValueError(f"{name} has complex numbers")
        if hasattr(part, "toarray"):
            raise ValueError(
                f"{name} has a sparse part ({type(part).__name__}), and is taken as dense arrays only: give "
                "its toarray(), as float64, if that fits into memory"
            )
    # float64 at every site, whatever its files hold: the parameters take their dtype from it.
    x = np.asarray(data[0], dtype=np.float64)
    y = np.asarray(data[1]) if labels else np.asarray(data[1], dtype=np.float64)
    if (labels or not column) and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim != 2 or len(x) != len(y) or (labels and y.ndim != 1):
        raise ValueError(f"{name} has inputs of shape {x.shape} and targets of shape {y.shape}")
    weight = None if len(data) == 2 or data[2] is None else _checked_weight(data[2], len(y), name)
    targets = _names(data[1], y.shape[1]) if y.ndim == 2 and y.shape[1] > 1 else None
    return Examples(x, y, weight, _names(data[0], x.shape[1]), targets)


def joined(parts: Sequence[Examples]) -> Examples:
    """All examples of several sites; a site without weights weighs its own with 1."""
    weight = None
    if any(part.weight is not None for part in parts):
        weight = np.concatenate(
            [np.ones(len(part.y)) if part.weight is None else part.weight for part in parts]
        )
    x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y"))
    return Examples(x, y, weight, parts[0].features, parts[0].targets)


def _checked_weight(weight: Any, count: int, name: str) -> Array:
    checked = np.asarray(weight, dtype=np.float64)
    if checked.shape != (count,):
        raise ValueError(f"{name} has a sample_weight of shape {checked.shape}, expected ({count},)")
    if not (np.isfinite(checked) & (checked >= 0)).all():
        raise ValueError(f"{name} has a sample_weight with numbers that are not finite, or below 0")
    return checked


def _names(x: Any, count: int) -> tuple[LabelValue, ...] | None:
    """Names of a data frame's columns; None where it is none, or its columns are just numbered."""
    columns = getattr(x, "column_names", None)  # of pyarrow, whose `columns` are the columns themselves
    if columns is None:
        columns = getattr(x, "columns", None)
    if columns is None:
        return None
    names = tuple(str(name) for name in columns)
    return None if names == tuple(map(str, range(count))) else names
