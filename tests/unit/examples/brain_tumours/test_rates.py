"""Each contender of the study learns at the rate that its own phantoms held out chose."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from .conftest import CASE

pytestmark = pytest.mark.torch

RESULTS = json.loads((CASE / "results.json").read_text("utf-8"))


def test_the_rate_of_the_lowest_loss_is_chosen(case: SimpleNamespace) -> None:
    losses = {"alone": {"0.003": 0.9, "0.01": 0.4, "0.03": 0.5}}

    assert case.rates.chosen(losses) == {"alone": 0.01}


def test_the_rates_of_the_study_are_those_that_were_chosen(case: SimpleNamespace) -> None:
    assert case.study.chosen_rates(RESULTS) == case.rates.chosen(RESULTS["rates"]["losses"])


def test_the_rates_are_chosen_on_a_seed_that_the_study_does_not_have(case: SimpleNamespace) -> None:
    assert str(RESULTS["rates"]["seed"]) not in RESULTS["seeds"]


def test_a_plan_with_another_rate_than_the_chosen_is_refused(case: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match=r"rates\.py chose 0\.5: set `lr`"):
        case.study.chosen_rates({"rates": {"chosen": {"federated": 0.5}}})


def test_a_study_without_rates_is_refused(case: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match=r"run `python rates\.py` first"):
        case.study.chosen_rates({})


def test_the_bound_of_an_update_grows_with_the_rate(case: SimpleNamespace) -> None:
    train = case.study.PLAN["tasks"]["train"]
    clip = case.study.PLAN["privacy"]["secure_aggregation"]["model"]["clip"]

    keys = case.study.plan_at(2 * train["lr"])

    assert keys["tasks"]["train"]["lr"] == 2 * train["lr"]
    assert keys["privacy"]["secure_aggregation"]["model"]["clip"] == 2 * clip
    assert case.study.PLAN["privacy"]["secure_aggregation"]["model"]["clip"] == clip
