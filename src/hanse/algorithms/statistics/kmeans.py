"""k-means by Lloyd's iterations (Lloyd 1982, doi 10.1109/TIT.1982.1056489).

Each round, every row goes to the nearest centre, the first of several, and each centre becomes the mean of
its rows. A centre without rows stays. The first centres are those of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.masked_sums import error_of_total
from hanse.algorithms.own_task import OwnTask, arrays, own_keys
from hanse.algorithms.pooled_rows import SITES, check_as_in_state, mean, sample, site_names, summed
from hanse.algorithms.table import ColumnName, Counts, Floats, Table, TableSettings, grouped_sums
from hanse.core.values.groups import Group
from hanse.workflow.federation import Federation

NAME = "kmeans"
TASK = "assign"

_BLOCK = 1 << 20
"""Differences of rows and centres that are held at a time, 8 MiB: all of them may be more than a site has."""


class KMeansSettings(TableSettings):
    """Settings of k-means."""

    columns: tuple[ColumnName, ...] = Field(min_length=1, max_length=1_000, description="Columns of numbers.")
    centres: tuple[tuple[float, ...], ...] = Field(
        min_length=1,
        max_length=1_000,
        description="The first centres: a list of numbers for each, by column.",
    )
    rounds: int = Field(20, ge=1, le=10_000, description="Iterations.")

    @field_validator("centres", mode="before")
    @classmethod
    def _not_a_number(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError(
                "are the first centres themselves, not their number: a list of numbers for each, by column, "
                "such as [[40, 120], [60, 140]]; take them from what is known of the columns, or from "
                "quantiles"
            )
        if isinstance(value, list):  # of a plan file
            return tuple(tuple(centre) if isinstance(centre, list) else centre for centre in value)
        return value

    @model_validator(mode="after")
    def _of_columns(self) -> Self:
        if any(len(centre) != len(self.columns) for centre in self.centres):
            raise ValueError("each of the `centres` has a number for each of the `columns`")
        return self


def local(table: Table, settings: KMeansSettings, centres: Floats) -> tuple[int, dict[str, Group]]:
    """Assign the rows of one site to the nearest centres.

    Returns:
        The number of rows, and the group `clusters`: `sums` around the centres, shape (k, columns);
        `counts`, (k,);        `inertia`, the sum of squared distances, ().
    """
    rows = table.complete(settings.columns, settings.missing)
    values = rows.numbers(settings.columns)
    nearest, distances = _nearest(values, centres)
    clusters = {
        "sums": grouped_sums(values - centres[nearest], nearest, len(centres)),
        "counts": np.bincount(nearest, minlength=len(centres)).astype(np.int64),
        "inertia": np.array(distances.sum()),
    }
    return len(rows), {"clusters": clusters}


def _nearest(values: Floats, centres: Floats) -> tuple[Counts, Floats]:
    """The nearest centre of each row and the squared distance to it, both of shape (rows,)."""
    nearest, distances = np.empty(len(values), np.int64), np.empty(len(values))
    block = max(1, _BLOCK // centres.size)
    for start in range(0, len(values), block):
        rows = slice(start, start + block)
        squares = ((values[rows, np.newaxis] - centres) ** 2).sum(axis=2)
        nearest[rows], distances[rows] = squares.argmin(axis=1), squares.min(axis=1)
    return nearest, distances


def moved(clusters: Mapping[str, Any], centres: Floats) -> Floats:
    """The next centres, from the sums over all sites."""
    return mean(clusters["sums"], clusters["counts"][:, np.newaxis], centres)


def settled(centres: Floats, before: Floats, errors: Floats | float = 0.0) -> bool:
    """Check that no centre has moved by more than rounding.

    Args:
        centres: Shape (k, columns).
        before: Those of the round before.
        errors: Largest error of each centre by the rounding of masked sums, broadcast over the centres: two
            rounds with the same clusters differ by at most twice as much.
    """
    return bool((np.abs(centres - before) <= 4 * np.spacing(np.abs(before)) + 2 * errors).all())


def kmeans(federation: Federation) -> None:
    """k-means on the pooled table, one iteration a round; ends once no centre moves by more than rounding."""
    settings = KMeansSettings.of(federation.options, NAME)
    for round in federation.rounds(first={"centres": np.array(settings.centres)}):
        if "settled" in round.state:
            return
        before = np.asarray(round.model["centres"])
        sums = summed(round, TASK)
        check_as_in_state(sums, round.state)
        clusters = arrays(sums, "clusters")
        centres = moved(clusters, before)
        error = error_of_total(federation.plan, TASK, "clusters", len(sums.sites))
        last = settled(centres, before, error / np.maximum(clusters["counts"], 1)[:, np.newaxis])
        found = {
            "centres": centres,
            "counts": clusters["counts"],
            "inertia": clusters["inertia"],
            "converged": np.array(int(last)),
        }
        state = {SITES: site_names(sums), **({"settled": np.ones(())} if last else {})}
        round.commit({"centres": centres}, state=state, results={NAME: found, f"{NAME}_sample": sample(sums)})
        if last:
            return


def _keys(settings: KMeansSettings) -> Keys:
    k, p = len(settings.centres), len(settings.columns)
    clusters = {"sums": {"float64": [k, p]}, "counts": {"int64": [k]}, "inertia": {"float64": []}}
    task = OwnTask(TASK, {"clusters": clusters}, model=True)
    return own_keys(NAME, settings, [task], rounds=settings.rounds)


KMEANS = Algorithm(
    name=NAME,
    field="statistics",
    paper="Lloyd 1982, doi 10.1109/TIT.1982.1056489",
    travels="The centres to the sites; sums and numbers of rows by centre, over all sites.",
    sums_suffice=True,
    stays="The rows, and the cluster of each.",
    settings=KMeansSettings,
    keys=_keys,
    results="`kmeans`: `centres`, `counts`, `inertia`, `converged`; the centres are the model too",
)
