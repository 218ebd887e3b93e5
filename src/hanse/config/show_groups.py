"""The groups of a plan in words: what arrives at a site, what leaves it, and what the workflow chooses."""

from __future__ import annotations

from hanse.core.plan.groups import MODEL, ArraySpec, Dimension, GroupSpec
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import Disclosure, TaskPlan
from hanse.core.values.wording import named


def groups_sent(plan: Plan, disclosure: Disclosure) -> list[str]:
    """Say which groups a task sends, and to whom, a line each."""
    return [_sent(plan, disclosure, group) for group in disclosure.groups]


def arriving(plan: Plan) -> list[str]:
    """Say what comes to a site with the tasks, and what the workflow chooses then."""
    lines = ["This plan and its code."]
    if plan.first_model != "none" and any(MODEL in task.receives for task in plan.tasks.values()):
        lines = ["This plan, its code, and the model of each round."]
        if plan.compression.download:
            lines.append("  (of a model, what is new in it, where it has the one before)")
    for name, task in plan.tasks.items():
        lines += _arriving_with(plan, name, task)
    return lines


def _arriving_with(plan: Plan, name: str, task: TaskPlan) -> list[str]:
    received = [group for group in task.receives if group != MODEL]
    lines = [f"With {name}, as the workflow chooses at each time:"] if received or task.varies else []
    lines += [f"  - {group}: {arrays_in_words(plan, plan.group_specs[group])}" for group in received]
    for setting, (low, high) in task.varies.items():
        lines.append(f"  - the setting {setting}, from {low} to {high}")
    if received or task.varies:
        lines.append("    (Chosen with intent, they can be aimed at single persons.)")
    return lines


def _sent(plan: Plan, disclosure: Disclosure, group: str) -> str:
    what = f"{group}: {arrays_in_words(plan, plan.group_specs[group])}"
    rule = disclosure.groups[group]
    if rule == "individual":
        return f"{what}: the site's own, to the aggregator and the workflow"
    if isinstance(rule, str):
        combined = {
            "total": "the total",
            "mean": "the mean",
            "weighted_mean": "the mean, weighted by number of examples,",
        }[rule]
        result = f"{combined} over {_over(plan)}"
    else:
        result = f"one result of {_over(plan)}: {rule.in_words}"
    return f"{what}, to the aggregator, which promises to show the workflow only {result}"


def _over(plan: Plan) -> str:
    if plan.cells:
        cells = named(list(plan.cells))
        return f"all sites, or whole cells ({cells}), with {plan.cohort.cell_minimum} sites of each at least"
    if plan.cohort.fraction < 1:
        return (
            f"the sites drawn for the round, {plan.cohort.minimum} at least (where the sites of two rounds "
            "differ in few, so do the sums: together they may show values of single sites)"
        )
    return f"all sites, {plan.cohort.minimum} at least"


def arrays_in_words(plan: Plan, spec: GroupSpec) -> str:
    """The arrays of a group, with their sizes and the range of their numbers."""
    bounds = "" if spec.bounds is None else f", each from {spec.bounds[0]:g} to {spec.bounds[1]:g}"
    if spec.like:
        part = "" if spec.patterns == ("*",) else f", of {named(list(spec.patterns))}"
        return f"a number for each real number of {_like(spec.like)}{part}{bounds}"
    if spec.pooled:
        return f"counts of scores by class, {_array(plan, spec.arrays[''])}{bounds}"
    arrays = [f"{name} {_array(plan, array)}".lstrip() for name, array in spec.arrays.items()]
    return ", ".join(arrays) + bounds


def _like(group: str) -> str:
    return "the model" if group == MODEL else group


def _array(plan: Plan, array: ArraySpec) -> str:
    kind = "real number" if array.floating else "truth value" if array.dtype == "bool" else "whole number"
    sizes = [_size(plan, size) for size in array.shape] or ["1"]
    return f"{' x '.join(sizes)} {kind}{'' if set(sizes) == {'1'} else 's'}"


def _size(plan: Plan, size: Dimension) -> str:
    if isinstance(size, int):
        return f"{size:,}"
    if size in plan.dimensions:
        return f"at most {plan.dimensions[size]:,}"
    return f"{plan.options[size]:,}"
