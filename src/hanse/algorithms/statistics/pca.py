"""Principal components of the pooled table, from its first and second moments (Hotelling 1933).

The components are the eigenvectors of the covariance of all rows, in the order of their variance; with
`scale`, of the correlation. The sign of a component is such that its entry of largest size is positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys
from hanse.algorithms.pooled_rows import CENTRE, around_means, mean, sample
from hanse.algorithms.statistics.moments import mean_and_covariance, moment_shapes, moments
from hanse.algorithms.table import ColumnName, Floats, Table, TableSettings
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "pca"
TASK = "moments"


class PcaSettings(TableSettings):
    """Settings of principal components."""

    columns: tuple[ColumnName, ...] = Field(min_length=1, max_length=2_000, description="Columns of numbers.")
    components: int | None = Field(None, ge=1, description="How many components; unset: all.")
    scale: bool = Field(False, description="Whether each column is divided by its standard deviation.")

    @model_validator(mode="after")
    def _there(self) -> Self:
        if self.components is not None and self.components > len(self.columns):
            raise ValueError(f"there are at most as many `components` as `columns`: {len(self.columns)}")
        return self


def local(table: Table, settings: PcaSettings, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Moments of the rows of one site around a centre; see `moments`."""
    return moments(table, settings.columns, settings, centre)


def first_centre(settings: PcaSettings) -> Floats:
    """Numbers that the first sums are around, shape (columns,)."""
    return np.zeros(len(settings.columns))


def means(groups: Mapping[str, Any], centre: Floats) -> Floats:
    """Means of the pooled columns, shape (columns,), from sums around a centre."""
    return mean(groups["moments"]["sum"], groups["moments"]["count"], centre)


def solve(groups: Mapping[str, Any], settings: PcaSettings, centre: Floats) -> dict[str, Array]:
    """Principal components, from moments over all sites around a centre.

    Returns:
        `mean` and `scale`, shape (columns,); `components`, (components, columns), each of length 1;
        `variance` and `variance_ratio`, (components,).

    Raises:
        WorkflowError: There are fewer than two rows, or a column that is to be scaled is constant.
    """
    group = groups["moments"]
    if group["count"] < 2:
        raise WorkflowError("principal components need at least two rows")
    middle, covariance = mean_and_covariance(group, centre)
    scale = np.ones(len(middle))
    if settings.scale:
        scale = np.sqrt(np.maximum(np.diagonal(covariance), 0))
        if not scale.all():
            name = settings.columns[int(np.argmin(scale))]
            raise WorkflowError(f"the column {name!r} is constant and cannot be scaled")
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    variance, components = np.maximum(values[::-1], 0), vectors[:, ::-1].T
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, np.newaxis], axis=1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    kept = slice(settings.components)
    total = variance.sum()
    return {
        "mean": middle,
        "scale": scale,
        "components": components[kept],
        "variance": variance[kept],
        "variance_ratio": (variance / total if total else variance)[kept],
    }


def pca(federation: Federation) -> None:
    """Principal components of the pooled table, in two exchanges of one round."""
    settings = PcaSettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums, centre = around_means(round, TASK, first_centre(settings), means)
        found = solve(sums.groups, settings, centre)
        round.commit(results={NAME: found, f"{NAME}_sample": sample(sums)})


def _keys(settings: PcaSettings) -> Keys:
    sent = {CENTRE: {"float64": [len(settings.columns)]}}
    shapes = {"moments": moment_shapes(settings.columns)}
    return own_keys(NAME, settings, [OwnTask(TASK, shapes, sent=sent, exchanges=2)])


PCA = Algorithm(
    name=NAME,
    field="statistics",
    paper="Hotelling 1933, doi 10.1037/h0071325",
    travels="Means to the sites; number of rows, sums and sums of products, over all sites.",
    sums_suffice=True,
    stays="The rows, and their places along the components.",
    settings=PcaSettings,
    keys=_keys,
    results="`pca`: `components`, `variance`, `variance_ratio`, `mean`, `scale`",
)
