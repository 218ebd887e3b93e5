"""Gaussian naive Bayes: mean and variance of each column by class (Chan, Golub and LeVeque 1983).

As scikit-learn's `GaussianNB`: variances are divided by the number of rows, and `smoothing` times the
largest variance of a column over all rows is added to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys
from hanse.algorithms.pooled_rows import CENTRE, around_means, mean, sample, without_rounding
from hanse.algorithms.table import Categories, ColumnName, Floats, Table, TableSettings, grouped_sums
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "naive_bayes"
TASK = "class_moments"


class NaiveBayesSettings(TableSettings):
    """Settings of Gaussian naive Bayes."""

    columns: tuple[ColumnName, ...] = Field(
        min_length=1, max_length=10_000, description="Columns of numbers."
    )
    outcome: Categories = Field(description="The column with the classes.")
    smoothing: float = Field(
        1e-9, ge=0, description="Part of the largest variance that is added to all variances."
    )


def local(table: Table, settings: NaiveBayesSettings, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site by class, around a centre of each, shape (classes, columns).

    Returns:
        The number of rows, and the group `classes`: `count`, shape (classes,); `sum` and `squares`,
        (classes, columns).
    """
    rows = table.complete([*settings.columns, settings.outcome.column], settings.missing)
    codes, number = rows.codes(settings.outcome), len(settings.outcome.categories)
    values = rows.numbers(settings.columns) - centre[codes]
    classes = {
        "count": np.bincount(codes, minlength=number).astype(np.int64),
        "sum": grouped_sums(values, codes, number),
        "squares": grouped_sums(values**2, codes, number),
    }
    return len(rows), {"classes": classes}


def first_centre(settings: NaiveBayesSettings) -> Floats:
    """Numbers that the first sums are around, shape (classes, columns)."""
    return np.zeros((len(settings.outcome.categories), len(settings.columns)))


def means(groups: Mapping[str, Any], centre: Floats) -> Floats:
    """Means by class, shape (classes, columns), from sums around a centre."""
    return mean(groups["classes"]["sum"], groups["classes"]["count"][:, np.newaxis], centre)


def solve(groups: Mapping[str, Any], settings: NaiveBayesSettings, centre: Floats) -> dict[str, Array]:
    """The model, from sums over all sites around a centre.

    Returns:
        `prior`, shape (classes,); `mean` and `variance`, (classes, columns).

    Raises:
        WorkflowError: A class has no rows.
    """
    classes = groups["classes"]
    count = classes["count"]
    if not count.all():
        empty = settings.outcome.categories[int(np.argmin(count))]
        raise WorkflowError(
            f"no site has a row of the class {empty!r}", mend="Leave the class out of `outcome: categories`."
        )
    n = count[:, np.newaxis]
    away = classes["sum"] / n
    middle = centre + away
    variance = without_rounding(classes["squares"] / n - away**2, middle)
    prior = count / count.sum()
    overall = prior @ (variance + (middle - prior @ middle) ** 2)
    return {
        "prior": prior,
        "mean": middle,
        "variance": variance + settings.smoothing * overall.max(),
    }


def naive_bayes(federation: Federation) -> None:
    """Gaussian naive Bayes on the pooled table, in two exchanges of one round."""
    settings = NaiveBayesSettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums, centre = around_means(round, TASK, first_centre(settings), means)
        found = solve(sums.groups, settings, centre)
        round.commit(results={NAME: found, f"{NAME}_sample": sample(sums)})


def _keys(settings: NaiveBayesSettings) -> Keys:
    k, p = len(settings.outcome.categories), len(settings.columns)
    classes = {"count": {"int64": [k]}, "sum": {"float64": [k, p]}, "squares": {"float64": [k, p]}}
    sent = {CENTRE: {"float64": [k, p]}}
    return own_keys(NAME, settings, [OwnTask(TASK, {"classes": classes}, sent=sent, exchanges=2)])


NAIVE_BAYES = Algorithm(
    name=NAME,
    field="statistics",
    paper="Chan, Golub and LeVeque 1983, doi 10.1080/00031305.1983.10483115",
    travels="Means by class to the sites; numbers of rows, sums and sums of squares by class, over all "
    "sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=NaiveBayesSettings,
    keys=_keys,
    results="`naive_bayes`: `prior`, `mean`, `variance`",
)
