"""Masked sums of a plan in words: what leaves a site, and who learns what of it."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.config.show_groups import arrays_in_words
from hanse.config.units import format_duration
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cell_rules import robust_rules
from hanse.core.plan.privacy.cells import (
    colluders_of,
    largest_share,
    members_of,
    smallest_cell,
    weighed_tasks,
    weighs,
)
from hanse.core.plan.privacy.number_rules import group_range
from hanse.core.plan.privacy.parts import section_of
from hanse.core.plan.tasks import Disclosure
from hanse.core.values.wording import MOST_NAMED, and_more, counted, named

_MOST_CELLS = 20
_RULES = {
    "total": "for their total",
    "mean": "for their mean",
    "weighted_mean": "for their mean, weighted by number of examples",
}


def masked_sent(plan: Plan, task: str) -> list[str]:
    """Say what leaves a site for a task that is masked, a line each.

    Args:
        plan: The plan; `masks` the task.
        task: The task.
    """
    return [
        "  - one vector of whole numbers, by itself noise, of which the aggregator reads the sum over",
        "    a whole cell alone. Workflow and operators learn what is made of these sums. In it are:",
        *(f"    - {part}" for part in _parts(plan, task)),
    ]


def _parts(plan: Plan, task: str) -> Iterator[str]:
    section, disclosure = section_of(plan), plan.tasks[task].discloses
    if disclosure.update == "aggregate" and section.model is not None:
        bound = section.model
        clipped = "as a whole to the length" if bound.norm == "l2" else "number by number to"
        yield (
            f"how training changed the model ({tensors_in_words(plan, disclosure)}), clipped by the site's "
            f"agent {clipped} {bound.clip:g}; and whether it had to be"
        )
    for group, rule in disclosure.groups.items():
        bounds = group_range(plan, group)
        cut = "" if bounds is None else f", cut to {bounds[0]:g} to {bounds[1]:g}"
        how = _RULES[rule] if isinstance(rule, str) else "for one result of several cells"
        # What is declared already says the range.
        arrays = arrays_in_words(plan, plan.group_specs[group])
        yield f"{group}: {arrays}{'' if plan.group_specs[group].bounds else cut}, {how}"
    for metric in disclosure.metrics:
        low, high = section.metrics[metric].range
        optional = "; whether it is given, too" if section.metrics[metric].optional else ""
        how = "by number of examples" if weighs(plan, task) else "sites counting alike"
        yield f"{metric}, cut to {low:g} to {high:g}, for its mean, {how}{optional}"
    if weighs(plan, task) and section.examples is not None:
        yield (
            f"the number of examples, where more than {section.examples.most:,} count as so many (a site "
            f"with fewer than {section.examples.least:,} does not take part)"
        )
    elif section.examples is not None:
        yield f"the number of examples, where more than {section.examples.most:,} count as so many"


def tensors_in_words(plan: Plan, disclosure: Disclosure) -> str:
    """The tensors of the model that a task discloses."""
    whole = "*" in disclosure.tensors
    tensors = "all tensors" if whole else f"the tensors {', '.join(disclosure.tensors)}"
    return tensors + (f" without {', '.join(plan.personal)}" if plan.personal else "")


def learned(plan: Plan) -> list[str]:
    """Say who learns what of the masked sums of a plan, and what would disclose a single site."""
    section, colluders = section_of(plan), colluders_of(plan)
    return [
        *_of_cells(plan),
        "A single update is hidden as long as one other member of its cell is genuine and does not help the "
        "aggregator.",
        f"The plan counts on {counted(colluders, 'colluder')} in a cell at most (c = {colluders}): if people "
        f"of a site have checked the signing keys of",
        f"{colluders + 1} others or more, one of these is such a member. The party that hosts the aggregator "
        "counts as a colluder.",
        *_of_robust_rules(plan),
        *_of_weights(plan),
        *_of_optional_metrics(plan),
        *_of_open_tasks(plan),
        {
            "fail": "Where a cell lacks a member at the deadline, the round fails.",
            "leave_out": "Where a cell lacks a member at the deadline, the whole cell is left out.",
        }[section.incomplete],
        *_of_time(section.ready_after),
    ]


def _of_cells(plan: Plan) -> Iterator[str]:
    if len(plan.cells) > 1:
        yield f"The aggregator learns the sum of each of {len(plan.cells)} cells in each round:"
    for cell in list(plan.cells)[:_MOST_CELLS]:
        members = members_of(plan, cell)
        listed = f"{len(members)} sites ({', '.join(and_more(members, MOST_NAMED))})"
        if len(plan.cells) == 1:
            yield f"The aggregator learns the sum of {listed} in each round."
        else:
            yield f"  {cell}: {listed}"
    if (more := len(plan.cells) - _MOST_CELLS) > 0:
        yield f"  and {counted(more, 'further cell')}"
    if smallest_cell(plan) == 3:
        yield "With three sites in a cell, any two learn the third."


def _of_robust_rules(plan: Plan) -> Iterator[str]:
    rules = dict.fromkeys(rule.rule for rule in robust_rules(plan).values())
    if rules:
        yield (
            f"Over the sums of cells the rule {named(list(rules))} is taken, so that a few bad cells cannot "
            "move the result far; within a cell, one bad site can move its sum."
        )


def _of_weights(plan: Plan) -> Iterator[str]:
    examples, weighed = section_of(plan).examples, weighed_tasks(plan)
    if not weighed or examples is None:
        return
    members, colluders = smallest_cell(plan), colluders_of(plan)
    share = largest_share(examples, members, colluders)
    yield (
        f"By the bounds of the numbers of examples, one site may be {share:.0%} of the weighted mean over "
        f"{members} sites, {counted(colluders, 'colluder')} subtracted (`max_share: {examples.max_share:g}`)."
    )


def _of_optional_metrics(plan: Plan) -> Iterator[str]:
    section = section_of(plan)
    optional = {name for name, declared in section.metrics.items() if declared.optional}
    weighed = {metric for task in weighed_tasks(plan) for metric in plan.tasks[task].discloses.metrics}
    if alike := sorted(optional - weighed):
        yield f"Of {named(alike)} the aggregator learns also how many sites gave it."
    if by_examples := sorted(optional & weighed):
        yield (
            f"Of {named(by_examples)} the aggregator learns also how many examples the sites have together "
            "that gave it: where one site did not, that site's number of examples."
        )


def _of_open_tasks(plan: Plan) -> Iterator[str]:
    for task in section_of(plan).in_the_open:
        disclosure = plan.tasks[task].discloses
        what = [*disclosure.metrics, "the number of examples"]
        yield f"In the open, not masked: each site's own {named(what)} of {task}."


def _of_time(ready_after: float | None) -> Iterator[str]:
    if ready_after:
        yield (
            f"No site answers sooner than {format_duration(ready_after)} after its task began. That a task "
            "failed, or took longer, can be seen."
        )
    else:
        yield "When a site has done a task, and that a task failed, can be seen."
