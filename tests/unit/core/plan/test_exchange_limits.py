"""Limits on how often a site is asked, as a plan says them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tests.unit.core.plan.plans import plan

from hanse.core.plan.exchange_limits import all_in_run, limit_line, may_stream, most_in_round, most_in_run
from hanse.core.plan.tasks import INITIALISE

AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator"}
TASKS = {"train": {"exchanges": 3, "discloses": AGGREGATE}, "evaluate": {}}


def test_a_plan_that_says_nothing_asks_once_a_round() -> None:
    found = plan(rounds=20, tasks={"train": {"discloses": AGGREGATE}})

    assert (most_in_round(found, "train"), most_in_run(found, "train")) == (1, 20)


def test_a_plan_says_how_often() -> None:
    found = plan(rounds=20, tasks=TASKS)

    assert (most_in_round(found, "train"), most_in_run(found, "train")) == (3, 60)
    assert all_in_run(found) == 80


def test_a_first_model_is_asked_for_once() -> None:
    found = plan(rounds=20, tasks=TASKS)

    assert (most_in_round(found, INITIALISE), most_in_run(found, INITIALISE)) == (1, 1)


@pytest.mark.parametrize(
    ("workflow", "discloses", "streams"),
    [
        ("fedavg", {"update": "individual"}, False),
        ("model:asynchronous", {"update": "individual"}, True),
        ("model:asynchronous", {}, True),
        ("model:asynchronous", AGGREGATE, False),
    ],
)
def test_a_stream_is_a_workflows_own_and_of_single_updates(
    workflow: str, discloses: dict[str, Any], streams: bool
) -> None:
    found = plan(workflow=workflow, tasks={"train": {"discloses": discloses}})

    assert may_stream(found, "train") == streams


def test_the_line_is_one_that_a_plan_can_have() -> None:
    line = yaml.safe_load(limit_line("train", 4).strip("`"))
    train = line["tasks"]["train"] | {"discloses": AGGREGATE}

    assert plan(tasks={"train": train}).tasks["train"].exchanges == 4


@pytest.mark.parametrize("exchanges", [0, -1, 1_000_001])
def test_a_limit_is_a_number_from_one_on(exchanges: int) -> None:
    with pytest.raises(ValidationError, match="exchanges"):
        plan(tasks={"train": {"exchanges": exchanges, "discloses": AGGREGATE}})
