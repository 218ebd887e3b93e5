"""Settings that a workflow sets at an ask, held against what the plan says may vary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE, REAL_SETTINGS
from hanse.core.values.wording import named

Number = int | float


def problem_of_settings(plan: Plan, task: str, settings: Mapping[str, Any]) -> str:
    """Say in words what is wrong with the settings of an ask; empty where the plan permits them.

    Args:
        plan: The plan; has the task.
        task: The task.
        settings: Numbers by the names of settings.
    """
    if not settings:
        return ""
    varies = {} if task == INITIALISE else plan.tasks[task].varies
    for name, value in settings.items():
        if name not in varies:
            known = named([repr(each) for each in varies]) or "nothing"
            return f"the setting {name!r} of task {task} does not vary by the plan; what varies: {known}"
        low, high = varies[name]
        whole = _is_whole(name, low, high)
        number = isinstance(value, int) if whole else isinstance(value, int | float)
        infinite = isinstance(value, float) and not math.isfinite(value)
        if not number or isinstance(value, bool) or infinite:
            kind = "a whole number" if whole else "a number"
            return f"the setting {name!r} of task {task} has to be {kind}, not {value!r:.80}"
        if not low <= value <= high:
            given = f"{value!r:.40}"
            return f"the setting {name!r} of task {task} is {given}; by the plan it is from {low} to {high}"
    return ""


def as_stated(plan: Plan, task: str, settings: Mapping[str, Number]) -> dict[str, Number]:
    """Settings as events and messages state them: whole where the plan says so, else as float, sorted."""
    stated: dict[str, Number] = {}
    for name in sorted(settings):
        low, high = plan.tasks[task].varies[name]
        whole = _is_whole(name, low, high)
        stated[name] = int(settings[name]) if whole else float(settings[name])
    return stated


def _is_whole(name: str, low: Number, high: Number) -> bool:
    """Check if a setting takes whole numbers only: both ends are, and the key is not of real ones."""
    return name not in REAL_SETTINGS and isinstance(low, int) and isinstance(high, int)


def settings_of(plan: Plan, task: str, settings: Mapping[str, Number]) -> dict[str, Any]:
    """Settings of a task as its learner gets them: the plan's, with those that the workflow set."""
    return {**plan.tasks[task].learner_settings(), **settings}
