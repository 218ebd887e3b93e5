"""Rules for the cells of a plan with secure aggregation: how many members, how many cells, whose share."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanse.core.plan.privacy.cells import (
    colluders_of,
    is_secure,
    largest_share,
    smallest_cell,
    weighed_tasks,
)
from hanse.core.plan.privacy.parts import PlanParts
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.robust_rules import AnyRobustRule
from hanse.core.values.schema import Problem
from hanse.core.values.sums.ready import MOST_MEMBERS
from hanse.core.values.wording import counted

FEWEST_SUMS = 3
"""Fewest sums of cells over which a robust rule is taken: of two, neither is the odd one."""
SIZE_UP_TO = 20
"""Sites up to which one cell is best; beyond, attempts fail too often by chance."""


def cell_problems(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    """List what is wrong with the cells, each with its place and the mend."""
    if not plan.cells:
        yield Problem(
            ("cells",),
            "secure aggregation sums over fixed cells, and the plan has none: `hanse plan cells plan.yaml "
            "--sites FILE` writes `cells` for the sites of a list",
        )
        return
    yield from _of_sizes(plan)
    if plan.cohort.fraction < 1 and len(plan.cells) == 1:
        yield Problem(
            ("cohort", "fraction"),
            f"`fraction: {plan.cohort.fraction:g}` draws whole cells, and there is one: leave it out, or "
            "write several cells",
        )
    yield from _of_robust_rules(plan)
    yield from _of_shares(plan, section)


def fewest_members(minimum: int, cell_minimum: int, colluders: int) -> int:
    """Fewest members of a cell: those that the plan wants in a sum, and two that do not collude."""
    return max(minimum, cell_minimum, colluders + 2)


def _of_sizes(plan: PlanParts) -> Iterator[Problem]:
    cohort, colluders = plan.cohort, colluders_of(plan)
    needs = {
        f"`cohort: {{minimum: {cohort.minimum}}}`": cohort.minimum,
        f"`cohort: {{cell_minimum: {cohort.cell_minimum}}}`": cohort.cell_minimum,
        f"`colluders: {colluders}`, and two others": colluders + 2,
    }
    reason, least = max(needs.items(), key=lambda item: item[1])
    for cell, members in plan.cells.items():
        place = ("cells", cell)
        if len(members) < least:
            yield Problem(
                place,
                f"the cell `{cell}` has {counted(len(members), 'member')}, and needs {least} by {reason}: "
                f"add sites, put it together with another, or lower that number",
            )
        if len(members) > MOST_MEMBERS:
            yield Problem(
                place,
                f"the cell `{cell}` has {len(members)} members, at most {MOST_MEMBERS} are possible: `hanse "
                "plan cells plan.yaml --sites FILE --again` deals several",
            )


def _of_robust_rules(plan: PlanParts) -> Iterator[Problem]:
    asked = max(1, math.ceil(round(plan.cohort.fraction * len(plan.cells), 9)))
    for place, rule in robust_rules(plan).items():
        need = max(rule.fewest, FEWEST_SUMS)
        if asked < need:
            there = f"a round asks {asked}" if asked < len(plan.cells) else f"the plan has {asked}"
            yield Problem(
                place,
                f"`{rule.rule}` looks at single results, which are the sums of whole cells here; it needs "
                f"{need} cells, and {there}: write {need} cells or more (`hanse plan cells plan.yaml --sites "
                "FILE --size N --again`), or take `mean`",
            )


def robust_rules(plan: PlanParts) -> dict[tuple[str, ...], AnyRobustRule]:
    """Robust rules of masked tasks, which are taken over the sums of cells, by their place in the plan."""
    found: dict[tuple[str, ...], AnyRobustRule] = {}
    for name, task in plan.tasks.items():
        if not is_secure(plan, name):
            continue
        if task.discloses.update == "aggregate" and (rule := plan.aggregation.robust) is not None:
            found["aggregation", "rule"] = rule
        for group, each in task.discloses.robust_groups.items():
            found["tasks", name, "discloses", "groups", group] = each
    return found


def _of_shares(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    examples, weighed = section.examples, weighed_tasks(plan)
    if not weighed or examples is None:
        return
    members, colluders = smallest_cell(plan), colluders_of(plan)
    others = members - 1 - colluders
    if others < 1:
        return  # too small a cell, of which is said enough
    share, largest = largest_share(examples, members, colluders), examples.max_share
    if share <= largest:
        return
    least = math.ceil(examples.most * (1 - largest) / (largest * others))
    most = math.floor(largest * others * examples.least / (1 - largest))
    lowered = f"`most: {most}`, " if most >= examples.least else ""
    raised = f"`least: {least}`, " if least <= examples.most else ""
    either = f"{lowered}{'or ' if lowered and raised else ''}{raised}"
    yield Problem(
        ("privacy", "secure_aggregation", "examples"),
        f"one site of {members} may be {share:.1%} of a weighted mean, {counted(colluders, 'colluder')} "
        f"subtracted, and `max_share: {largest:g}` permits {largest:.1%}: write {either}or `rule: "
        f"mean`, by which sites count alike",
    )
