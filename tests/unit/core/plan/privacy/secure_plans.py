"""A plan with secure aggregation, to be varied."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from hanse.core.plan.plan import Plan
from hanse.core.values.schema import PlacedError

SECTION: dict[str, Any] = {
    "model": {"clip": 1.0},
    "metrics": {"loss": [0, 20]},
    "examples": {"least": 100, "most": 200},
    "ready_after": "10s",
}
TRAIN: dict[str, Any] = {
    "discloses": {"update": "aggregate", "aggregated_by": "secure_aggregation", "metrics": ["loss"]}
}
PLAN: dict[str, Any] = {
    "name": "hearts",
    "code": ["model.py"],
    "learner": "model:learner",
    "initial_model": "workflow",
    "workflow": "model:workflow",
    "cells": {"all": ["d", "b", "c", "a"]},
    "cohort": {"minimum": 3},
    "tasks": {"train": TRAIN},
}


def secure_plan(section: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """A plan of four sites that train a model, of which a test names the keys that it is about."""
    privacy = {"secure_aggregation": SECTION | (section or {})}
    return Plan.model_validate(PLAN | {"privacy": privacy} | changes)


def refusals(section: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """The problems for which a plan is refused, each with its place; none where it is read."""
    try:
        secure_plan(section, **changes)
    except ValidationError as error:
        cause = error.errors()[0]["ctx"]["error"]
        assert isinstance(cause, PlacedError), str(cause)
        return [f"{'.'.join(map(str, problem.place))}: {problem.text}" for problem in cause.problems]
    return []


def summing(**groups: Any) -> dict[str, Any]:
    """A task that discloses these groups, each by its rule, summed masked."""
    return {"receives": [], "discloses": {"groups": groups, "aggregated_by": "secure_aggregation"}}
