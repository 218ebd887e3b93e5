"""Standardisation, then training, in one run.

The first round begins with the sites' sums, which give mean and standard deviation of the pooled columns
(divided by n, as scikit-learn's `StandardScaler`). They are the group `scaler` of `train` in all rounds,
which are federated averaging; `evaluate`, where the plan has it, receives them too if the author says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.algorithms.pooled_rows import CENTRE, around_means, mean, sample, without_rounding
from hanse.algorithms.table import ColumnName, Floats, Table, TableSettings
from hanse.core.values.groups import Group
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "standardise_then_train"
TASK = "measure"
SCALER = "scaler"


class StandardiseSettings(TableSettings):
    """Settings of standardisation."""

    columns: tuple[ColumnName, ...] = Field(
        min_length=1, max_length=100_000, description="Columns of numbers, in the order of the scaler."
    )


def local(table: Table, settings: StandardiseSettings, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site, around a centre of shape (columns,).

    Returns:
        The number of rows, and the group `columns`: `count`, shape (); `sum` and `squares`, (columns,).
    """
    rows = table.complete(settings.columns, settings.missing)
    values = rows.numbers(settings.columns) - centre
    sums = {
        "count": np.array(len(rows), np.int64),
        "sum": values.sum(axis=0),
        "squares": (values**2).sum(axis=0),
    }
    return len(rows), {"columns": sums}


def first_centre(settings: StandardiseSettings) -> Floats:
    """Numbers that the first sums are around, shape (columns,)."""
    return np.zeros(len(settings.columns))


def means(groups: Mapping[str, Any], centre: Floats) -> Floats:
    """Means of the pooled columns, shape (columns,), from sums around a centre."""
    return mean(groups["columns"]["sum"], groups["columns"]["count"], centre)


def solve(groups: Mapping[str, Any], centre: Floats) -> dict[str, Floats]:
    """The scaler, from sums over all sites around a centre: `mean` and `sd`, shape (columns,).

    The standard deviation of a constant column is given as 1.

    Raises:
        WorkflowError: There are no rows.
    """
    columns = groups["columns"]
    if not columns["count"]:
        raise WorkflowError("no site has rows to standardise")
    n = float(columns["count"])
    away = columns["sum"] / n
    middle = centre + away
    sd = np.sqrt(without_rounding(columns["squares"] / n - away**2, middle))
    return {"mean": middle, "sd": np.where(sd > 0, sd, 1.0)}


def standardised(x: Floats, scaler: Mapping[str, Any]) -> Floats:
    """Rows with the pooled mean 0 and standard deviation 1 in each column, shape (rows, columns)."""
    return np.asarray((x - scaler["mean"]) / scaler["sd"])


def standardise_then_train(federation: Federation) -> None:
    """Standardisation once, at the beginning of the first round; federated averaging in all rounds."""
    settings = StandardiseSettings.of(federation.options, NAME)
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        # In one round with the training, so that each round has what `keep_best` and `early_stop` look at.
        found: dict[str, Group] = {}
        if SCALER not in federation.results:
            sums, centre = around_means(round, TASK, first_centre(settings), means)
            found = {SCALER: solve(sums.groups, centre), f"{SCALER}_sample": sample(sums)}
        sent = {SCALER: federation.results.get(SCALER) or found[SCALER]}
        update = round.sum("train", groups=sent)
        model, state = stepped(round, delta_of(update, NAME), optimizer)
        metrics = {**metrics_of(round.plan, update), **scores(round, model, sent)}
        round.commit(model, metrics, state, results=found)


def _keys(settings: StandardiseSettings) -> Keys:
    p = len(settings.columns)
    sums = {"count": {"int64": []}, "sum": {"float64": [p]}, "squares": {"float64": [p]}}
    discloses = {"aggregated_by": settings.aggregated_by, "groups": {"columns": "total"}}
    return {
        "workflow": NAME,
        "options": {NAME: settings.model_dump(mode="json", exclude={"aggregated_by"})},
        "groups": {
            "columns": sums,
            CENTRE: {"float64": [p]},
            SCALER: {"mean": {"float64": [p]}, "sd": {"float64": [p]}},
        },
        "tasks": {
            TASK: {"receives": [CENTRE], "discloses": discloses, "exchanges": 2},
            "train": {"receives": ["model", SCALER]},
        },
    }


STANDARDISE = Algorithm(
    name=NAME,
    field="statistics",
    paper="McMahan et al. 2017, arXiv 1602.05629, after a round of sums",
    travels="Means to the sites; number of rows, sums and sums of squares, over all sites; then as FedAvg, "
    "and mean and standard deviation to the sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=StandardiseSettings,
    keys=_keys,
    results="`scaler`: `mean`, `sd`; and the model",
    changes=("train",),
)
