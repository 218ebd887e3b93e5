"""Groups of a plan in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hanse.config.show import describe
from hanse.core.plan.manifest import Manifest

Make = Callable[..., Manifest]

PLAN: dict[str, Any] = {
    "options": {"p": 3},
    "dimensions": {"bins": 2000},
    "workflow": "federation:workflow",
    "groups": {
        "edges": {"float64": ["bins"], "range": [-1, 1]},
        "counts": {"n": {"int64": ["bins"]}, "sum": {"float64": ["p", 2]}, "any": {"bool": []}},
        "control": {"like": "model", "tensors": ["encoder.*"]},
        "point": {"float64": []},
        "scores": {"pooled": "binary", "bins": 16},
    },
}


def told(manifest: Manifest) -> str:
    return describe(manifest, manifest.digest)


def with_task(manifest: Make, discloses: dict[str, Any], **task: Any) -> str:
    rules = discloses.get("groups", {}).values()
    by = {"aggregated_by": "aggregator"} if any(rule != "individual" for rule in rules) else {}
    return told(manifest(**PLAN | {"tasks": {"count": {"discloses": {**discloses, **by}, **task}}}))


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (
            {"scores": "total"},
            "  - scores: counts of scores by class, 2 x 16 whole numbers, to the aggregator, which promises "
            "to show the workflow only the total over all sites, 1 at least",
        ),
        (
            {"point": "mean"},
            "point: 1 real number, to the aggregator, which promises to show the workflow only the",
        ),
        ({"point": "weighted_mean"}, "only the mean, weighted by number of examples, over all sites"),
        ({"point": "median"}, "only one result of all sites, 1 at least:"),
        (
            {"point": "individual"},
            "point: 1 real number: the site's own, to the aggregator and the workflow",
        ),
        (
            {"counts": "individual"},
            "counts: n at most 2,000 whole numbers, sum 3 x 2 real numbers, any 1 truth value: the",
        ),
        (
            {"control": "mean"},
            "control: a number for each real number of the model, of encoder.*, to the aggregator",
        ),
    ],
)
def test_what_leaves_is_told_with_its_size_and_for_whom(
    groups: dict[str, Any], line: str, manifest: Make
) -> None:
    assert line in with_task(manifest, {"groups": groups}, receives=["model", "edges"])


def test_sums_over_cells_are_told(manifest: Make) -> None:
    tasks = {"count": {"discloses": {"groups": {"point": "total"}, "aggregated_by": "aggregator"}}}
    cells = {"north": ["a", "b", "c"], "south": ["d", "e", "f"]}

    text = told(manifest(**PLAN | {"tasks": tasks, "cells": cells}))

    assert "the total over all sites, or whole cells (north and south), with 3 sites of each at least" in text


def test_what_the_workflow_chooses_is_told_where_it_arrives(manifest: Make) -> None:
    text = with_task(manifest, {}, receives=["model", "edges"], varies={"lr": [0.01, 0.1]})

    assert "  With count, as the workflow chooses at each time:\n" in text
    assert "  - edges: at most 2,000 real numbers, each from -1 to 1\n" in text
    assert "  - the setting lr, from 0.01 to 0.1\n" in text
    assert "(Chosen with intent, they can be aimed at single persons.)" in text


def test_a_run_without_a_model_brings_none(manifest: Make) -> None:
    tasks = {"count": {"receives": []}}

    text = told(manifest(**PLAN | {"tasks": tasks, "initial_model": "none"}))

    assert "This plan and its code." in text
    assert "the model of each round" not in text


def test_what_compression_makes_other_numbers_of_is_told(manifest: Make) -> None:
    groups = {"point": "mean", "scores": "total"}
    tasks = {"count": {"discloses": {"groups": groups, "aggregated_by": "aggregator"}}}

    text = told(manifest(**PLAN | {"tasks": tasks, "compression": {"upload": ["int8"], "groups": ["point"]}}))
    assert "of groups, those of point alone; all others lose nothing" in text
    text = told(manifest(**PLAN | {"tasks": tasks, "compression": {"upload": ["int8"]}}))
    assert "groups lose nothing" in text
