"""What a plan of a built-in workflow is held to when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.core.plan.plan import Plan

AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator"}


def read(workflow: str, train: dict[str, Any], **keys: Any) -> Plan:
    discloses = AGGREGATE | train.pop("discloses", {})
    whole = {"name": "trial", "code": ["sites.py"], "learner": "sites:learner", "workflow": workflow}
    return Plan.model_validate(whole | {"tasks": {"train": {**train, "discloses": discloses}}} | keys)


@pytest.mark.parametrize(
    ("train", "keys", "algorithm"),
    [
        ({"local": [{"name": "dynamic", "alpha": 0.1}]}, {}, "feddyn"),
        (
            {"local": ["normalise"], "discloses": {"groups": {"steps": "weighted_mean"}}},
            {"groups": {"steps": {"float64": []}}},
            "fednova",
        ),
        (
            {
                "local": ["control_variates"],
                "receives": ["model", "control"],
                "discloses": {"groups": {"control": "mean"}},
            },
            {"groups": {"control": {"like": "model"}}},
            "scaffold",
        ),
    ],
)
def test_half_of_an_algorithm_is_refused_with_the_algorithm_to_write(
    train: dict[str, Any], keys: dict[str, Any], algorithm: str
) -> None:
    told = f"one half of the algorithm {algorithm}.* write `algorithm: {{name: {algorithm}}}`"
    with pytest.raises(ValueError, match=told):
        read("fedavg", {**train}, **keys)

    mean = "weighted_mean" if algorithm == "fednova" else "mean"
    assert read(algorithm, {**train}, **keys, aggregation={"rule": mean}).workflow == algorithm
    assert read("sites:own", {**train}, **keys).workflow == "sites:own"


def test_a_pull_and_a_bound_go_with_every_workflow() -> None:
    rules = [{"name": "proximal", "mu": 0.1}, {"name": "clip", "norm": 1.0}]

    assert len(read("fedavg", {"local": rules}).tasks["train"].local) == 2


@pytest.mark.parametrize(
    ("aggregation", "told"),
    [
        ({"rule": "mean", "server_optimizer": {"name": "adam"}}, "leave out `server_optimizer`"),
        ({}, "works with `aggregation: {rule: mean}` only, and the rule is `weighted_mean`"),
    ],
)
def test_feddyn_makes_its_own_step_from_a_mean(aggregation: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read("feddyn", {"local": [{"name": "dynamic", "alpha": 0.1}]}, aggregation=aggregation)
