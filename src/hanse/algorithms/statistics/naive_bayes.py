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
from hanse.algorithms.own_task import OwnTask, arrays, own_keys
from hanse.algorithms.table import Categories, ColumnName, Table, TableSettings, grouped_sums
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


def local(table: Table, settings: NaiveBayesSettings) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site by class.

    Returns:
        The number of rows, and the group `classes`: `count`, shape (classes,); `sum` and `squares`,
        (classes, columns).
    """
    rows = table.complete([*settings.columns, settings.outcome.column], settings.missing)
    codes, number = rows.codes(settings.outcome), len(settings.outcome.categories)
    values = rows.numbers(settings.columns)
    classes = {
        "count": np.bincount(codes, minlength=number).astype(np.int64),
        "sum": grouped_sums(values, codes, number),
        "squares": grouped_sums(values**2, codes, number),
    }
    return len(rows), {"classes": classes}


def solve(classes: Mapping[str, Any], settings: NaiveBayesSettings) -> dict[str, Array]:
    """The model, from sums over all sites.

    Returns:
        `prior`, shape (classes,); `mean` and `variance`, (classes, columns).

    Raises:
        WorkflowError: A class has no rows.
    """
    count = classes["count"]
    if not count.all():
        empty = settings.outcome.categories[int(np.argmin(count))]
        raise WorkflowError(
            f"no site has a row of the class {empty!r}", mend="Leave the class out of `outcome: categories`."
        )
    n = count[:, np.newaxis]
    mean = classes["sum"] / n
    variance = np.maximum(classes["squares"] / n - mean**2, 0)
    total = count.sum()
    overall = classes["squares"].sum(axis=0) / total - (classes["sum"].sum(axis=0) / total) ** 2
    return {
        "prior": count / total,
        "mean": mean,
        "variance": variance + settings.smoothing * overall.max(),
    }


def naive_bayes(federation: Federation) -> None:
    """Gaussian naive Bayes on the pooled table, in one exchange."""
    settings = NaiveBayesSettings.of(federation.options, NAME)
    for round in federation.rounds():
        classes = arrays(round.sum(TASK), "classes")
        round.commit(results={NAME: solve(classes, settings)})


def _keys(settings: NaiveBayesSettings) -> Keys:
    k, p = len(settings.outcome.categories), len(settings.columns)
    classes = {"count": {"int64": [k]}, "sum": {"float64": [k, p]}, "squares": {"float64": [k, p]}}
    return own_keys(NAME, settings, [OwnTask(TASK, {"classes": classes})])


NAIVE_BAYES = Algorithm(
    name=NAME,
    field="statistics",
    paper="Chan, Golub and LeVeque 1983, doi 10.1080/00031305.1983.10483115",
    travels="Numbers of rows, sums and sums of squares by class, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=NaiveBayesSettings,
    keys=_keys,
    results="`naive_bayes`: `prior`, `mean`, `variance`",
)
