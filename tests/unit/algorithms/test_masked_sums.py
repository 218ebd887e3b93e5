"""Which algorithms can be summed masked, and with what in the plan."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hanse.algorithms.examples import EXAMPLES
from hanse.algorithms.masked_sums import error_of_total, needs_of_masks
from hanse.algorithms.presets import expanded
from hanse.algorithms.registry import ALGORITHMS
from hanse.config.document import Document
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

SECURE = {"update": "aggregate", "aggregated_by": "secure_aggregation"}
WEIGHED = {"examples": {"least": 500, "most": 1000}, "ready_after": "1m"}


def read(name: str, groups: dict[str, Any] | None = None, **section: Any) -> Plan:
    """A plan with an algorithm whose sums are masked over five cells of four sites."""
    example = {key: value for key, value in EXAMPLES.get(name, {}).items() if key != "aggregated_by"}
    fields = ALGORITHMS[name].settings.model_fields
    combined = {"aggregated_by": "secure_aggregation"} if "aggregated_by" in fields else {}
    own = ALGORITHMS[name].keys(ALGORITHMS[name].settings.model_validate({**EXAMPLES.get(name, {})}))
    tasks: dict[str, Any] = {} if combined else {"train": {"discloses": SECURE}}
    if name == "evaluate":
        tasks = {"evaluate": {"discloses": {"metrics": ["loss"]}}}
    if name in ("ditto", "fine_tuning", "standardise_then_train"):
        tasks = {"train": {"discloses": SECURE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}
    if name == "cross_site":
        tasks["evaluate"] = {"discloses": {"metrics": ["loss"]}}
    plan = {
        "name": "hearts",
        "code": ["model.py"],
        "learner": "model:learner",
        "cells": {f"c{cell}": [f"site-{cell}-{number}" for number in range(4)] for cell in range(5)},
        "algorithm": {"name": name, **example, **combined},
        "privacy": {
            "secure_aggregation": {
                "model": {"clip": 1.0},
                "metrics": {"loss": [0, 20]} if "loss" in json.dumps(tasks) else {},
                "ring": 64,
                **section,
            }
        },
    }
    if "initial_model" not in own:
        plan["initial_model"] = "model.safetensors"
    if tasks:
        plan["tasks"] = tasks
    if groups:
        plan["groups"] = groups
    return expanded(Document.of(json.dumps(plan), "plan.yaml", PlanError)).check(Plan)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_page_on_algorithms_says_what_each_needs(name: str) -> None:
    """With what is said the plan is read; without it, it is refused by the name of the group."""
    needs = needs_of_masks(ALGORITHMS[name])
    ranges = re.search(r"`range` of (.*)", needs)
    named = re.findall(r"`(\w+)`", ranges[1]) if ranges else []
    groups = {group: {"range": [-1e6, 1e6]} for group in named}
    if needs == "no":
        with pytest.raises(PlanError):
            read(name, **WEIGHED)
        return
    assert read(name, groups, **WEIGHED)
    for group in named:
        with pytest.raises(PlanError, match=f"group `{group}` has no range"):
            read(name, {other: range_ for other, range_ in groups.items() if other != group}, **WEIGHED)


def test_counts_of_rows_are_at_most_the_number_of_examples() -> None:
    assert read("contingency", examples={"most": 700}).group_specs["counts"].bounds == (0, 700)
    with pytest.raises(PlanError, match="group `counts` has no range"):
        read("contingency")


def test_a_range_that_the_author_wrote_stays() -> None:
    agreed = read("contingency", {"counts": {"range": [0, 50]}}, examples={"most": 700})
    assert agreed.group_specs["counts"].bounds == (0, 50)


def test_counts_are_found_by_the_settings_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**EXAMPLES["summary"], "ranges": {"age": [0, 120]}}
    monkeypatch.setattr("tests.unit.algorithms.test_masked_sums.EXAMPLES", {"summary": settings})
    agreed = read("summary", {"moments": {"range": [-1e6, 1e6]}}, examples={"most": 700})
    assert agreed.group_specs["histogram"].bounds == (0, 700)


def test_plans_without_masked_sums_get_no_range() -> None:
    plan = {
        "name": "hearts",
        "code": ["model.py"],
        "learner": "model:learner",
        "algorithm": {"name": "contingency", **EXAMPLES["contingency"]},
    }
    read_plan = expanded(Document.of(json.dumps(plan), "plan.yaml", PlanError)).check(Plan)
    assert read_plan.group_specs["counts"].bounds is None


def test_some_algorithms_are_named_with_what_they_need() -> None:
    told = {name: needs_of_masks(ALGORITHMS[name]) for name in ALGORITHMS}
    assert told["fedavg"] == "yes"
    assert told["scaffold"] == "yes, with `range` of `control`"
    assert told["kaplan_meier"] == "yes, with `examples: {most: ...}` for `survival`"
    assert told["median"] == "over 3 cells or more"
    assert told["krum"] == "over 5 cells or more"
    assert [name for name, needs in told.items() if needs == "no"] == ["cyclic", "fedbuff", "cross_site"]


def test_the_rounding_of_a_masked_total_is_a_step_of_the_grid_a_site() -> None:
    wide = {"clusters": {"range": [-1e6, 1e6]}}
    agreed = read("kmeans", wide, ring=32, **WEIGHED)
    assert error_of_total(agreed, "assign", "clusters", 20) == pytest.approx(20 * 1e6 / 2**28)
    assert error_of_total(read("kmeans", wide, **WEIGHED), "assign", "clusters", 20) < 1e-6


def test_plain_totals_have_no_rounding_to_a_grid() -> None:
    plan = {
        "name": "hearts",
        "code": ["model.py"],
        "learner": "model:learner",
        "algorithm": {"name": "kmeans", **EXAMPLES["kmeans"], "aggregated_by": "aggregator"},
    }
    agreed = expanded(Document.of(json.dumps(plan), "plan.yaml", PlanError)).check(Plan)
    assert error_of_total(agreed, "assign", "clusters", 20) == 0
