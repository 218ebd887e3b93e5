"""Plans with masked sums, for tests."""

from __future__ import annotations

from typing import Any

from hanse.core.plan.plan import Plan

SITES = ("a", "b", "c", "d")

UPDATE = {"update": "aggregate", "aggregated_by": "secure_aggregation"}


def summed(**disclosed: Any) -> dict[str, Any]:
    """What a task discloses in masked sums."""
    return {"aggregated_by": "secure_aggregation", **disclosed}


def plan_of(discloses: dict[str, Any], *, secure: dict[str, Any] | None = None, **plan: Any) -> Plan:
    """A plan of one task `train` over masked sums, of four sites in one cell unless stated.

    What it states of ranges is what the task needs.
    """
    weighed = "update" in discloses and plan.get("aggregation", {}).get("rule") != "mean"
    pooled = any("pooled" in group for group in plan.get("groups", {}).values())
    stated: dict[str, Any] = {
        "model": {"clip": 1.0} if "update" in discloses else None,
        "metrics": dict.fromkeys(discloses.get("metrics", ()), (0, 20)),
        "examples": {"most": 100, "max_share": 1.0} if weighed or pooled else None,
        "ready_after": "0s",
    }
    told: dict[str, Any] = {
        "name": "demo",
        "code": ("federation.py",),
        "learner": "federation:learner",
        "workflow": "federation:workflow",
        "initial_model": "workflow",
        "rounds": 5,
        "cells": {"all": SITES},
        "tasks": {"train": {"receives": ("model",), "discloses": discloses}},
        "privacy": {"secure_aggregation": stated | (secure or {})},
    }
    return Plan.model_validate(told | plan)
