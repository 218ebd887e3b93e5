"""Settings that regressions share, and the inverse of their matrices of products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from hanse.algorithms.table import Feature, Floats, TableSettings, column_names, input_names
from hanse.errors import WorkflowError

_LARGEST_CONDITION = 1e8
"""Of a scaled matrix; beyond it fewer than eight digits of a solution would be right."""


class RegressionSettings(TableSettings):
    """Settings of a regression."""

    features: tuple[Feature, ...] = Field(
        min_length=1,
        max_length=2_000,
        description="Columns of numbers; or of categories, which become an input for each after the first.",
    )
    intercept: bool = Field(True, description="Whether the model has a constant, which comes first.")

    @property
    def inputs(self) -> int:
        """Number of inputs, without the intercept."""
        return len(input_names(self.features))

    def columns(self, *others: Feature) -> list[str]:
        """The columns that the model is made of."""
        return list(column_names([*others, *self.features]))


def with_ones(x: Floats, *, intercept: bool) -> Floats:
    """Inputs with a first column of ones, where the model has an intercept."""
    return np.concatenate([np.ones((len(x), 1)), x], axis=1) if intercept else x


def scaled_inverse(matrix: Floats, features: Sequence[Feature], *, intercept: bool = False) -> Floats:
    """The inverse of a positive definite matrix, which is scaled to a diagonal of ones first.

    Args:
        matrix: Shape (inputs, inputs).
        features: What the inputs are made of, for the message.
        intercept: Whether the first input is the intercept.

    Raises:
        WorkflowError: The matrix is not positive definite, or nearly so: an input is constant, or a linear
            combination of others.
    """
    inputs = [f"the input {name}" for name in input_names(features)]
    names = ["the intercept", *inputs] if intercept else inputs
    diagonal = np.diagonal(matrix)
    if not (np.isfinite(matrix).all() and (diagonal > 0).all()):
        place = int(np.argmin(np.where(np.isfinite(diagonal), diagonal, -np.inf)))
        raise WorkflowError(
            f"{names[place]} is constant over all sites, or its sums are not finite",
            mend="Leave it out of `features`.",
        )
    scale = 1 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
    if values[0] <= values[-1] / _LARGEST_CONDITION:
        place = int(np.abs(vectors[:, 0]).argmax())
        raise WorkflowError(
            f"{names[place]} is a linear combination of other inputs, or so nearly one that the coefficients "
            "would have too few right digits (ill-conditioned)",
            mend="Leave one of them out of `features`, or give the model a `ridge`.",
        )
    return np.asarray((vectors / values) @ vectors.T * np.outer(scale, scale))
