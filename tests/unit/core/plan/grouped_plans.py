"""Plans with groups, to test with."""

from __future__ import annotations

from typing import Any

from hanse.core.plan.plan import Plan

BY_AGGREGATOR = {"aggregated_by": "aggregator"}


def plan(**changes: Any) -> Plan:
    """A plan with a workflow of its own, of which a test names the keys that it is about."""
    return Plan.model_validate(
        {
            "name": "counts",
            "code": ["counting.py"],
            "learner": "counting:learner",
            "workflow": "counting:workflow",
            "tasks": {"count": {}},
        }
        | changes
    )


def disclosing(**rules: Any) -> dict[str, Any]:
    """A task that receives the model and discloses these groups, each by its rule."""
    combined = any(rule != "individual" for rule in rules.values())
    return {"discloses": {"groups": rules, **(BY_AGGREGATOR if combined else {})}}
