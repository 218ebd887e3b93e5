"""Rules for the numbers that are summed masked: each has a range, and its sum fits into the ring."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from hanse.core.plan.groups import GroupSpec
from hanse.core.plan.privacy.cells import (
    colluders_of,
    is_secure,
    largest_cell,
    masks,
    smallest_cell,
    weighed_tasks,
    weighs,
)
from hanse.core.plan.privacy.parts import PlanParts, section_of
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.values.schema import Problem
from hanse.core.values.wording import named

LEAST_BOUND, LARGEST_BOUND = 2.0**-500, 2.0**500
"""Between them is the larger end of each range, in absolute value: the grid divides it in float64."""

_SECTION = ("privacy", "secure_aggregation")
_MOST_BITS = 48  # of the grid; see `hanse.privacy.secagg.grid`
_LARGEST_ERROR = 0.25
"""Of a mean of whole numbers: half of what would round to another one."""
_LEAST, _MOST_TIMES = 200, 6
"""Bounds of numbers of examples that are proposed, as far as `max_share` permits them."""


def group_range(plan: PlanParts, group: str) -> tuple[float, float] | None:
    """Range of the numbers of a group in a masked sum: declared, or of its kind; None where it has none."""
    spec = plan.group_specs[group]
    if spec.bounds is not None:
        return spec.bounds
    if spec.pooled:
        examples = section_of(plan).examples
        return None if examples is None else (0.0, float(examples.most))
    if lacks_range(spec):
        return None
    return (0.0, 1.0) if spec.dtypes == {"bool"} else (0.0, 255.0)


def lacks_range(spec: GroupSpec) -> bool:
    """Check if a group has no range by its declaration, nor by the kind of its numbers."""
    small = bool(spec.dtypes) and spec.dtypes <= {"bool", "uint8"}
    return spec.bounds is None and not spec.pooled and not small


def number_problems(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    """List numbers without a usable range, each with its place and the fix."""
    yield from _of_model(plan, section)
    yield from _of_metrics(plan, section)
    yield from _of_examples(plan, section)
    rules: dict[str, set[str]] = {}
    for name, task in plan.tasks.items():
        for group, rule in task.discloses.groups.items() if is_secure(plan, name) else ():
            rules.setdefault(group, set()).add(rule if isinstance(rule, str) else rule.rule)
    for group, combined in rules.items():
        yield from _of_group(plan, group, combined)


def _of_model(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    tasks = [name for name, task in plan.tasks.items() if task.discloses.update == "aggregate"]
    masked = [name for name in tasks if is_secure(plan, name)]
    place, bound = (*_SECTION, "model"), section.model
    if bound is None:
        if masked:
            yield Problem(
                place,
                f"the update of task `{masked[0]}` has no bound, to which each site's agent clips it: write "
                "`model: {clip: 1.0}`, the largest length that an update may have",
            )
        return
    if problem := _unusable(-bound.clip, bound.clip):
        yield Problem((*place, "clip"), problem)
    if bound.integers is not None:
        weighed = any(is_secure(plan, task) and weighs(plan, task) for task in plan.tasks)
        problem = _unusable(*bound.integers) or _coarse(plan, section, bound.integers, weighed=weighed)
        if problem:
            yield Problem((*place, "integers"), problem)


def _of_metrics(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    disclosed: dict[str, str] = {}
    for name, task in plan.tasks.items():
        for metric in task.discloses.metrics if masks(plan, name) else ():
            disclosed.setdefault(metric, name)
    place = (*_SECTION, "metrics")
    if lacking := [metric for metric in disclosed if metric not in section.metrics]:
        ranges = ", ".join(f"{metric}: [LEAST, LARGEST]" for metric in lacking)
        open_ = [name for name in dict.fromkeys(disclosed[m] for m in lacking) if not is_secure(plan, name)]
        other = f", or `in_the_open: [{', '.join(open_)}]`" if open_ else ""
        yield Problem(
            place,
            f"{named(lacking)} {'has' if len(lacking) == 1 else 'have'} no range, to which each site's agent "
            f"cuts {'it' if len(lacking) == 1 else 'them'}: write `metrics: {{{ranges}}}`{other}",
        )
    anywhere = [metric for task in plan.tasks.values() for metric in task.discloses.metrics]
    for metric, declared in section.metrics.items():
        if metric not in anywhere:
            close = difflib.get_close_matches(metric, anywhere, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "leave it out"
            yield Problem((*place, metric), f"no task discloses a metric `{metric}`; {hint}")
        if problem := _unusable(*declared.range):
            yield Problem((*place, metric), problem)


def _of_examples(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    weighed = weighed_tasks(plan)
    place, examples = (*_SECTION, "examples"), section.examples
    if weighed and section.ready_after is None:
        yield Problem(
            (*_SECTION, "ready_after"),
            "the time that a site needs grows with its number of examples, by which sums are weighed: write "
            "`ready_after: 60s`, longer than a task takes, or `ready_after: 0s` where that time may be known",
        )
    if weighed and examples is None:
        yield Problem(
            place,
            f"task `{weighed[0]}` is weighed by number of examples, which has no bounds: write "
            f"`{proposed_examples(plan)}`, or have it combined by `mean`, by which "
            "sites count alike (`aggregation: {rule: mean}`)",
        )
    if examples is None:
        return
    if fix := _too_large(plan, section, examples.most):
        sites = largest_cell(plan)
        text = f"{sites} sites of `most: {examples.most}` examples do not fit into one word: {fix}"
        yield Problem((*place, "most"), text)


def proposed_examples(plan: PlanParts) -> str:
    """Bounds of numbers of examples, as one would write them, that `max_share` permits at its default."""
    colluders = 1 if plan.privacy.secure_aggregation is None else colluders_of(plan)
    others = max(1, smallest_cell(plan) - 1 - colluders)
    return f"examples: {{least: {_LEAST}, most: {_LEAST * min(others, _MOST_TIMES)}}}"


def _of_group(plan: PlanParts, group: str, rules: set[str]) -> Iterator[Problem]:
    spec, place = plan.group_specs[group], ("groups", group)
    bounds = group_range(plan, group)
    if bounds is None:
        if spec.pooled:
            text = "counts up to a site's number of examples: write `examples: {most: 1200}` in `privacy`"
        else:
            text = (
                "has no range, to which each site's agent cuts its numbers: write "
                f"`groups: {{{group}: {{range: [LEAST, LARGEST]}}}}`, beside what is declared of it"
            )
        yield Problem(place, f"group `{group}` {text}")
        return
    if problem := _unusable(*bounds):
        yield Problem((*place, "range"), problem)
        return
    whole = any(not dtype.startswith("float") for dtype in spec.dtypes)
    if whole and rules - {"total"}:
        weighed = "weighted_mean" in rules
        if problem := _coarse(plan, section_of(plan), bounds, weighed=weighed):
            yield Problem((*place, "range"), f"group `{group}`: {problem}")
            return
    if whole and "total" in rules:
        if any(end != int(end) for end in bounds):
            yield Problem(
                (*place, "range"), f"group `{group}` holds whole numbers: its range has to be two of them"
            )
        elif fix := _too_large(plan, section_of(plan), max(map(abs, bounds))):
            yield Problem(
                (*place, "range"),
                f"{largest_cell(plan)} numbers of `{group}` up to {max(map(abs, bounds)):.0f} do not fit "
                f"into one word: {fix}",
            )


def _coarse(plan: PlanParts, section: SecureAggregation, ends: tuple[float, float], *, weighed: bool) -> str:
    """Say what to write where a mean of whole numbers would be wrong by a unit; empty where it is not."""
    members, largest = largest_cell(plan), max(map(abs, ends))
    if not members:
        return ""
    examples = section.examples
    spread = examples.most / examples.least if weighed and examples is not None else 1.0

    def error(ring: int) -> float:
        bits = min((_largest_sum(ring) // members).bit_length() - 1, _MOST_BITS)
        return math.ldexp(float(largest), -bits) * spread

    if error(section.ring) <= _LARGEST_ERROR:
        return ""
    wide = "`ring: 64`, or " if section.ring == 32 and error(64) <= _LARGEST_ERROR else ""
    return (
        f"the mean of whole numbers up to {largest:.0f} would be wrong by up to {error(section.ring):.2g}: "
        f"write {wide}a smaller number"
    )


def _too_large(plan: PlanParts, section: SecureAggregation, largest: float) -> str:
    """Say what to write where the sum of whole numbers would wrap around; empty where it does not."""
    members = largest_cell(plan)
    if not members or members * int(largest) <= _largest_sum(section.ring):
        return ""
    if section.ring == 32 and members * int(largest) <= _largest_sum(64):
        return "write `ring: 64`, or a smaller number"
    return f"at most {_largest_sum(section.ring) // members:,} is possible"


def _largest_sum(ring: int) -> int:
    return int(2 ** (ring - 1)) - 1


def _unusable(low: float, high: float) -> str:
    """Say why a range has no grid; empty where it has one."""
    try:
        ends = float(low), float(high)
    except OverflowError:
        return f"the numbers of a range have to be at most {LARGEST_BOUND:.1e}"
    if not ends[0] < ends[1] or not all(map(math.isfinite, ends)):
        return f"[{low:g}, {high:g}] is not a range: the first number has to be smaller than the second"
    if not LEAST_BOUND <= max(map(abs, ends)) <= LARGEST_BOUND:
        return (
            f"the larger of {low:g} and {high:g} has to be from 2^-500 to 2^500 ({LEAST_BOUND:.1e} to "
            f"{LARGEST_BOUND:.1e})"
        )
    return ""
