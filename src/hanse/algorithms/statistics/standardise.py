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
from hanse.algorithms.own_task import arrays
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


def local(table: Table, settings: StandardiseSettings) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Returns:
        The number of rows, and the group `columns`: `count`, shape (); `sum` and `squares`, (columns,).
    """
    rows = table.complete(settings.columns, settings.missing)
    values = rows.numbers(settings.columns)
    sums = {
        "count": np.array(len(rows), np.int64),
        "sum": values.sum(axis=0),
        "squares": (values**2).sum(axis=0),
    }
    return len(rows), {"columns": sums}


def solve(columns: Mapping[str, Any]) -> dict[str, Floats]:
    """The scaler, from sums over all sites: `mean` and `sd`, shape (columns,); 1 for a constant column.

    Raises:
        WorkflowError: There are no rows.
    """
    if not columns["count"]:
        raise WorkflowError("no site has rows to standardise")
    n = float(columns["count"])
    mean = columns["sum"] / n
    variance = columns["squares"] / n - mean**2
    # What is left of a constant column is the rounding of its squares.
    constant = variance <= 1e-14 * columns["squares"] / n
    return {"mean": mean, "sd": np.where(constant, 1.0, np.sqrt(np.maximum(variance, 0)))}


def standardised(x: Floats, scaler: Mapping[str, Any]) -> Floats:
    """Rows with the pooled mean 0 and standard deviation 1 in each column, shape (rows, columns)."""
    return np.asarray((x - scaler["mean"]) / scaler["sd"])


def standardise_then_train(federation: Federation) -> None:
    """Standardisation once, at the beginning of the first round; federated averaging in all rounds."""
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        # In one round with the training, so that each round has what `keep_best` and `early_stop` look at.
        known = federation.results.get(SCALER)
        sent = {SCALER: known or solve(arrays(round.sum(TASK), "columns"))}
        update = round.sum("train", groups=sent)
        model, state = stepped(round, delta_of(update, NAME), optimizer)
        metrics = {**metrics_of(round.plan, update), **scores(round, model, sent)}
        round.commit(model, metrics, state, results={} if known else sent)


def _keys(settings: StandardiseSettings) -> Keys:
    p = len(settings.columns)
    sums = {"count": {"int64": []}, "sum": {"float64": [p]}, "squares": {"float64": [p]}}
    discloses = {"aggregated_by": settings.aggregated_by, "groups": {"columns": "total"}}
    return {
        "workflow": NAME,
        "options": {NAME: settings.model_dump(mode="json", exclude={"aggregated_by"})},
        "groups": {"columns": sums, SCALER: {"mean": {"float64": [p]}, "sd": {"float64": [p]}}},
        "tasks": {
            TASK: {"receives": [], "discloses": discloses},
            "train": {"receives": ["model", SCALER]},
        },
    }


STANDARDISE = Algorithm(
    name=NAME,
    field="statistics",
    paper="McMahan et al. 2017, arXiv 1602.05629, after a round of sums",
    travels="Number of rows, sums and sums of squares, over all sites; then as FedAvg, and mean and "
    "standard deviation to the sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=StandardiseSettings,
    keys=_keys,
    results="`scaler`: `mean`, `sd`; and the model",
    changes=("train",),
)
