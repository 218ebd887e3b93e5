"""Contingency tables, with Pearson's chi-square test of independence.

With counts o of the pooled table, row sums r, column sums c and n rows, e = r c / n is expected, and
X2 = sum (o - e)^2 / e has (rows - 1) (columns - 1) degrees of freedom (Pearson 1900), without a correction
for continuity. Rows and columns without any count do not take part.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys
from hanse.algorithms.pooled_rows import sample, summed
from hanse.algorithms.statistics.small_counts import SUPPRESS_BELOW, too_few, without
from hanse.algorithms.table import Categories, Counts, Table, TableSettings, column_names
from hanse.algorithms.tails import chi_square
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.workflow.federation import Federation

NAME = "contingency"
TASK = "tabulate"


class ContingencySettings(TableSettings):
    """Settings of contingency tables."""

    rows: Categories = Field(description="The column whose categories are the table's rows.")
    columns: Categories = Field(description="The column whose categories are the table's columns.")
    by: Categories | None = Field(None, description="A column of categories; one table for each.")
    suppress_below: int = SUPPRESS_BELOW


def local(table: Table, settings: ContingencySettings) -> tuple[int, dict[str, Group]]:
    """Count the rows of one site.

    Returns:
        The number of rows, and the group `counts` of shape (categories of `by`, rows, columns).
    """
    named = [settings.rows, settings.columns, *([settings.by] if settings.by else [])]
    complete = table.complete(column_names(named), settings.missing)
    by = complete.codes(settings.by) if settings.by else np.zeros(len(complete), np.int64)
    counts = np.zeros(_shape(settings), np.int64)
    np.add.at(counts, (by, complete.codes(settings.rows), complete.codes(settings.columns)), 1)
    return len(complete), {"counts": counts}


def solve(counts: Counts, settings: ContingencySettings) -> dict[str, Array]:
    """Tables with their tests, from counts over all sites.

    Returns:
        `counts`, `expected` (rows, columns), `chi_square`, `degrees_of_freedom`, `p_value`; with `by`, all
        have an axis of categories before. With `suppress_below`, small counts are NaN, and so is what is
        `expected` in their table.
    """
    tables = [_tested(table) for table in counts]
    if settings.suppress_below:
        few = too_few(counts.reshape(-1), settings.suppress_below).reshape(counts.shape)
        tables = [
            without(table, {"counts": hidden, "expected": np.array(hidden.any())})
            for table, hidden in zip(tables, few, strict=True)
        ]
    if settings.by is None:
        return {name: np.array(value) for name, value in tables[0].items()}
    return {name: np.array([table[name] for table in tables]) for name in tables[0]}


def _tested(counts: Counts) -> dict[str, Array]:
    n, of_rows, of_columns = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    # As float64: the product of two numbers of rows need not fit into int64.
    expected = np.outer(of_rows.astype(np.float64), of_columns) / n if n else np.zeros(counts.shape)
    there = expected > 0
    statistic = float((((counts - expected) ** 2)[there] / expected[there]).sum())
    degrees = max(int((of_rows > 0).sum()) - 1, 0) * max(int((of_columns > 0).sum()) - 1, 0)
    return {
        "counts": counts,
        "expected": expected,
        "chi_square": np.array(statistic),
        "degrees_of_freedom": np.array(degrees),
        "p_value": np.array(chi_square(statistic, degrees) if degrees else math.nan),
    }


def contingency(federation: Federation) -> None:
    """Contingency tables of the pooled table, in one exchange."""
    settings = ContingencySettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums = summed(round, TASK)
        found = solve(np.asarray(sums.groups["counts"]), settings)
        round.commit(results={NAME: found, f"{NAME}_sample": sample(sums)})


def _shape(settings: ContingencySettings) -> list[int]:
    by = len(settings.by.categories) if settings.by else 1
    return [by, len(settings.rows.categories), len(settings.columns.categories)]


def _keys(settings: ContingencySettings) -> Keys:
    return own_keys(NAME, settings, [OwnTask(TASK, {"counts": {"int64": _shape(settings)}})])


CONTINGENCY = Algorithm(
    name=NAME,
    field="statistics",
    paper="Pearson 1900, doi 10.1080/14786440009463897",
    travels="Counts by category, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=ContingencySettings,
    keys=_keys,
    results="`contingency`: `counts`, `expected`, `chi_square`, `degrees_of_freedom`, `p_value`",
)
