"""Inputs of an ask, held against the plan: model, groups, settings and cells."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.core.plan.group_tensors import received_groups, receives_model
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cohort import whole_cells
from hanse.core.plan.tasks import INITIALISE
from hanse.core.plan.varying import problem_of_settings
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.wording import named


def problem_of_ask(plan: Plan, task: str, inputs: AskInputs, *, has_model: bool) -> str:
    """Say in words what an ask sends that the plan does not have the task receive; empty for nothing.

    Args:
        plan: The plan.
        task: A task of the plan, or `INITIALISE`.
        inputs: What is sent beside the model.
        has_model: Whether a model is sent.
    """
    if has_model != receives_model(plan, task):
        given = "with a model" if has_model else "without a model"
        return f"task {task!r} is asked {given}; by the plan it receives {_received(plan, task)}"
    if set(inputs.groups) != set(received_groups(plan, task)):
        given = named(sorted(inputs.groups)) or "none"
        listed = named(sorted(received_groups(plan, task))) or "none"
        return f"task {task!r} is asked with the groups {given}; by the plan it receives {listed}"
    if problem := problem_of_settings(plan, task, inputs.settings):
        return problem
    if inputs.cells is None:
        return ""
    unknown = sorted(set(inputs.cells) - plan.cells.keys())
    if unknown or not inputs.cells or list(inputs.cells) != sorted(set(inputs.cells)):
        cell = f"the cell {unknown[0]!r}" if unknown else "no cell, or one twice"
        return f"task {task!r} is asked of {cell}; the plan's cells are: {named(list(plan.cells)) or 'none'}"
    return ""


def within_cells(plan: Plan, sites: Iterable[str], cells: tuple[str, ...] | None) -> tuple[str, ...]:
    """The sites that an ask is for: in a plan with cells those of its cells, or of all cells.

    Where sums are masked, a cell of which a site is missing is left out as a whole.

    Args:
        plan: The plan.
        sites: Of the cohort, in site order.
        cells: The cells that are asked; None for all.
    """
    if not plan.cells:
        return tuple(sites)
    sites = tuple(sites)
    there = plan.cells if plan.privacy.secure_aggregation is None else whole_cells(plan, sites)
    members = {site for cell in cells or plan.cells for site in there.get(cell, ())}
    return tuple(site for site in sites if site in members)


def _received(plan: Plan, task: str) -> str:
    return "nothing" if task == INITIALISE else named(list(plan.tasks[task].receives)) or "nothing"
