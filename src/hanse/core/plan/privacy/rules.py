"""Rules of a plan with secure aggregation: which of its parts do not go together, and what to write.

Decision 0041 has the list, `docs/secure-aggregation.md` the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanse.core.plan.built_in import BUILT_IN, BuiltIn
from hanse.core.plan.privacy.cell_rules import cell_problems
from hanse.core.plan.privacy.cells import is_secure, masks, weighs
from hanse.core.plan.privacy.number_rules import lacks_range, number_problems, proposed_examples
from hanse.core.plan.privacy.parts import PlanParts
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.privacy.upload_rules import upload_problems
from hanse.core.values.schema import PlacedError, Problem
from hanse.core.values.wording import named

SECTION = ("privacy", "secure_aggregation")
FIRST_MODEL = (
    "the parameters of a new learner as `safetensors.numpy.save_file` writes them, or the "
    "`model.safetensors` of `hanse simulate --rounds 1 --output DIR` with a plan that is not masked"
)
"""Where a file with a first model comes from."""


def check_secure(plan: PlanParts) -> None:
    """Refuse a plan whose sums could not be masked, would disclose a site, or could be of other numbers.

    Raises:
        PlacedError: Has every problem, with its place and the mend.
    """
    problems = tuple(_problems(plan))
    if problems:
        raise PlacedError(problems)


def problem_of_first_model(plan: PlanParts) -> Problem | None:
    """Say that a plan's built-in workflow gives no first model, where the plan counts on it."""
    known = BUILT_IN.get(plan.workflow)
    if plan.first_model != "workflow" or known is None or known.gives_model:
        return None
    text = f"workflow {plan.workflow} gives no first model: name a .safetensors file, {FIRST_MODEL}"
    return Problem(("initial_model",), text)


def check_workflow(plan: PlanParts) -> None:
    """Refuse a built-in workflow that cannot do with sums, before it says what it needs of the tasks.

    Raises:
        PlacedError: Names a workflow that can.
    """
    known = BUILT_IN.get(plan.workflow)
    if known is not None and (known.streams or known.chooses):
        why = "takes updates one by one" if known.streams else "asks single sites"
        text = (
            f"workflow {plan.workflow} {why}, and a masked sum is over whole cells: take another, such as "
            "`fedavg`"
        )
        raise PlacedError([Problem(("workflow",), text)])


def _problems(plan: PlanParts) -> Iterator[Problem]:
    section = plan.privacy.secure_aggregation
    secure = [name for name in plan.tasks if is_secure(plan, name)]
    if section is None:
        if secure:
            yield _without_section(plan, secure)
        return
    if not secure and not any(masks(plan, name) and _metrics(plan, name) for name in plan.tasks):
        yield Problem(
            SECTION,
            "no task is summed by it: write `aggregated_by: secure_aggregation` under a task's `discloses`, "
            "or leave the section out",
        )
        return
    yield from _of_open_tasks(plan, section)
    for name in plan.tasks:
        yield from _of_task(plan, name)
    yield from _of_run(plan, section)
    yield from cell_problems(plan, section)
    yield from number_problems(plan, section)
    yield from upload_problems(plan, section)


def _without_section(plan: PlanParts, secure: list[str]) -> Problem:
    """The section to write, with all that the plan's tasks need of it at once."""
    disclosed = [plan.tasks[name].discloses for name in secure]
    parts = []
    if any(disclosure.update == "aggregate" for disclosure in disclosed):
        parts.append("model: {clip: 1.0}")
    metrics = dict.fromkeys(metric for name in plan.tasks for metric in _metrics(plan, name))
    if metrics:
        parts.append(f"metrics: {{{', '.join(f'{metric}: [LEAST, LARGEST]' for metric in metrics)}}}")
    groups = dict.fromkeys(group for disclosure in disclosed for group in disclosure.groups)
    specs = {group: plan.group_specs[group] for group in groups}
    known, weighed = BUILT_IN.get(plan.workflow), any(weighs(plan, name) for name in secure)
    counts_rows = known is not None and known.all_sites
    if weighed:
        parts += [proposed_examples(plan), "ready_after: 60s"]
    elif counts_rows or any(spec.pooled for spec in specs.values()):
        parts.append("examples: {most: 1200}")
    ranges = [f"{group}: {{range: [LEAST, LARGEST]}}" for group in groups if lacks_range(specs[group])]
    beside = f", and `groups: {{{', '.join(ranges)}}}`" if ranges else ""
    return Problem(
        ("tasks", secure[0], "discloses", "aggregated_by"),
        f"task `{secure[0]}` is summed by secure aggregation, and the plan does not bound what is summed: "
        f"write `privacy: {{secure_aggregation: {{{', '.join(parts)}}}}}`{beside}, with bounds of your own",
    )


def _metrics(plan: PlanParts, task: str) -> tuple[str, ...]:
    return plan.tasks[task].discloses.metrics


def _of_open_tasks(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    for index, name in enumerate(section.in_the_open):
        place = (*SECTION, "in_the_open", index)
        if name not in plan.tasks:
            yield Problem(place, f"the plan has no task `{name}`; it has: {named(list(plan.tasks))}")
        elif name in section.in_the_open[:index]:
            yield Problem(place, f"`{name}` is listed twice")
        elif is_secure(plan, name):
            yield Problem(
                place,
                f"task `{name}` is summed by secure aggregation, metrics and number of examples included: "
                "take it out of the list, or give another task the metrics that are to be in the open",
            )


def _of_task(plan: PlanParts, task: str) -> Iterator[Problem]:
    disclosure, place = plan.tasks[task].discloses, ("tasks", task, "discloses")
    if disclosure.update == "individual":
        yield Problem(
            (*place, "update"),
            f"`update: individual` of task `{task}` shows each site's own, beside sums in which none is to "
            "be seen: write `update: aggregate`, or give the task a plan of its own",
        )
    for group in disclosure.individual_groups:
        yield Problem(
            (*place, "groups", group),
            f"`{group}: individual` of task `{task}` shows each site's own, beside sums in which none is to "
            "be seen: have it combined, or give the task a plan of its own",
        )
    if disclosure.aggregated_by == "aggregator":
        # Also of a task in the open: of its arrays the operator would see each site's, beside masked sums.
        open_ = "" if masks(plan, task) else ", and take the task out of `in_the_open`"
        yield Problem(
            (*place, "aggregated_by"),
            f"the aggregator would see what each site sends for task `{task}`, beside sums in which none is "
            f"to be seen: write `aggregated_by: secure_aggregation`{open_}, or give it a plan of its own",
        )
    if not masks(plan, task) or disclosure.in_sums:
        return
    if not is_secure(plan, task) and not disclosure.metrics and not disclosure.individually:
        yield Problem(
            place,
            f"task `{task}` discloses nothing that could be summed: give it a metric, or write "
            f"`in_the_open: [{task}]`, by which its number of examples leaves each site",
        )


def _of_run(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    known = BUILT_IN.get(plan.workflow)
    if plan.first_model == "site":
        yield Problem(
            ("initial_model",),
            f"without `initial_model` one site would be asked for its own model: {_first_model(known)}",
        )
    if problem := problem_of_first_model(plan):
        yield problem
    if known is not None and known.all_sites and section.examples is None:
        yield Problem(
            SECTION,
            f"workflow {plan.workflow} states of how many rows its results are, and without bounds they are "
            "not summed: write `examples: {most: N}`, with the most rows that a site has",
        )
    if section.ready_after is not None and section.ready_after >= plan.cohort.deadline:
        yield Problem(
            (*SECTION, "ready_after"),
            f"no site answers sooner than {section.ready_after:g} s, and by `cohort: {{deadline: "
            f"{plan.cohort.deadline:g}}}` a round waits no longer: write a shorter one, or a later deadline",
        )
    if plan.cohort.tolerated_missing is not None:
        yield Problem(
            ("cohort", "tolerated_missing"),
            "`tolerated_missing` counts examples of single sites, which no party sees: leave it out",
        )
    if all(masks(plan, name) for name in plan.tasks):
        yield from _of_waiting(plan, section)


def _first_model(known: BuiltIn | None) -> str:
    if known is not None and known.gives_model:
        return "write `initial_model: workflow`"
    if known is not None and any("none" not in task.update for task in known.tasks.values()):
        return f"name a .safetensors file, {FIRST_MODEL}"
    return (
        f"name a .safetensors file, {FIRST_MODEL}; or write `initial_model: workflow`, where the workflow "
        "gives one, or `none`, where it needs none"
    )


def _of_waiting(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    """Keys that would have no effect, since a cell has a sum with all of its members only."""
    if plan.cohort.grace is not None:
        yield Problem(
            ("cohort", "grace"),
            "`grace` ends the wait for a few, and without them a cell has no sum: leave it out; `deadline` "
            "bounds the wait",
        )
    if plan.cohort.quorum < 1 and section.incomplete == "fail":
        yield Problem(
            ("cohort", "quorum"),
            f"by `quorum: {plan.cohort.quorum:g}` some may be missing, and by `incomplete: fail` none: leave "
            "`quorum` out, or write `incomplete: leave_out`",
        )
    if plan.cohort.quorum == 1 and section.incomplete == "leave_out":
        yield Problem(
            ("cohort", "quorum"),
            "by `incomplete: leave_out` cells may be missing, and by `quorum: 1` no site may: state the "
            "part of the sites that is enough, such as `quorum: 0.5`",
        )
