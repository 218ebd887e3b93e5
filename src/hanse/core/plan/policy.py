"""What a site permits, and its decision on a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.exchange_limits import all_in_run
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import smallest_cell
from hanse.core.plan.robust_rules import Krum
from hanse.core.plan.tasks import Disclosure
from hanse.core.values.schema import Digest, Strict
from hanse.core.values.wording import counted, named

UpdateLevel = Literal["none", "aggregate", "individual"]
_LEVELS = ("none", "aggregate", "individual")


class MaximalDisclosure(Strict):
    """The most that may leave this site, whatever a plan asks."""

    update: Literal["none", "aggregate", "individual"] = Field(
        "aggregate", description="`individual` also permits aggregate; `none` permits metrics only."
    )
    at_least: int = Field(
        3,
        ge=1,
        le=1_000_000,
        description="Fewest sites with examples in a sum that this site's update goes into. A plan with a "
        "task of `update: aggregate` has to say as many by `cohort: {minimum: ...}`.",
    )
    metrics: tuple[str, ...] = Field(("*",), description="Patterns of metrics that may leave.")
    first_model: bool = Field(
        True, description="Whether this site's freshly made model may be asked for to start a run."
    )
    failures: Literal["kind", "message", "log"] = Field(
        "kind",
        description="Report of a task that failed: only the kind of failure, its message too, "
        "or the last lines that it printed. The plan's code writes message and print-out, "
        "and could put data there; paths are removed.",
    )


class Policy(Strict):
    """Which plans a site accepts by rule, which need a person, which never."""

    accept: tuple[str, ...] = Field((), description="Patterns of plan names that are accepted by rule.")
    accept_digests: tuple[Digest, ...] = Field((), description="Plans accepted by their exact digest.")
    otherwise: Literal["ask", "refuse"] = Field(
        "ask", description="Plans that no rule accepts: wait for `hanse plan approve`, or refuse."
    )
    discloses: MaximalDisclosure = Field(
        default_factory=MaximalDisclosure, description="The most that may leave."
    )
    own_workflows: bool = Field(
        True, description="Whether plans may have a workflow of their own, run at the aggregator."
    )
    max_rounds: int | None = Field(None, ge=1, description="Longest run this site takes part in.")
    max_tasks: int | None = Field(
        None,
        ge=1,
        description="Most exchanges in which a run may ask this site: `rounds` times `exchanges`, added over "
        "all tasks of the plan.",
    )


class Verdict(StrEnum):
    """What becomes of a plan at a site."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and its reasons, for the journal and for people."""

    verdict: Verdict
    reasons: tuple[str, ...]


def decide(policy: Policy, manifest: Manifest, digest: str, data_sources: frozenset[str]) -> Decision:
    """Hold a plan against a site's policy, before any data is touched.

    What exceeds the maximal disclosure or needs data the site lacks is
    refused whatever the rules of acceptance say. A workflow of the plan's own
    under secure aggregation is accepted by digest or by a person only.
    """
    reasons = (*_excesses(policy, manifest), *_missing(manifest, data_sources))
    if reasons:
        return Decision(Verdict.REFUSE, reasons)
    plan = manifest.plan
    if digest in policy.accept_digests:
        return Decision(Verdict.ACCEPT, ("its digest is on the list of accepted plans",))
    for pattern in policy.accept:
        if fnmatchcase(plan.name, pattern):
            if plan.privacy.secure_aggregation is not None and plan.workflow not in BUILT_IN:
                # It chooses what all sites are sent, and a model can be made to show single rows in a sum.
                return Decision(
                    Verdict.ASK,
                    (
                        f"its name matches the rule {pattern!r}, but a name is not enough for a workflow of "
                        "its own under secure aggregation: a person has to read it",
                    ),
                )
            return Decision(Verdict.ACCEPT, (f"its name matches the rule {pattern!r}",))
    if policy.otherwise == "refuse":
        return Decision(Verdict.REFUSE, ("no rule of this site accepts it",))
    return Decision(Verdict.ASK, ("no rule of this site decides; a person has to",))


def _excesses(policy: Policy, manifest: Manifest) -> list[str]:
    plan, most = manifest.plan, policy.discloses
    found = list[str]()
    for name, task in plan.tasks.items():
        for told, level in _levels(task.discloses):
            if _LEVELS.index(level) > _LEVELS.index(most.update):
                found.append(f"task {name} discloses {told}; this site permits {most.update}")
        for metric in task.discloses.metrics:
            if not any(fnmatchcase(metric, pattern) for pattern in most.metrics):
                found.append(f"task {name} discloses the metric {metric!r}, which this site does not permit")
    found += _small_sums(plan, most.at_least)
    if plan.first_model == "site" and not most.first_model:
        found.append(
            "the plan has no initial_model, and this site does not let its own first model be asked for"
        )
    if plan.workflow not in BUILT_IN and not policy.own_workflows:
        found.append(f"the plan has its own workflow {plan.workflow!r}; this site permits built-in ones only")
    if policy.max_rounds is not None and plan.rounds > policy.max_rounds:
        found.append(f"the plan has {plan.rounds} rounds; this site permits {policy.max_rounds}")
    if policy.max_tasks is not None and (exchanges := all_in_run(plan)) > policy.max_tasks:
        found.append(
            f"the plan may ask a site in {exchanges} exchanges, in all rounds and of all tasks together; "
            f"this site permits {policy.max_tasks}"
        )
    return found


def _levels(disclosure: Disclosure) -> Iterator[tuple[str, UpdateLevel]]:
    """List what a task discloses, and as which level each counts: a group counts as an update does."""
    yield f"update: {disclosure.update}", disclosure.update
    for group, rule in disclosure.groups.items():
        shown = rule if isinstance(rule, str) else rule.shown
        yield f"the group {group}: {shown}", "individual" if rule == "individual" else "aggregate"


def _small_sums(plan: Plan, at_least: int) -> Iterator[str]:
    for name, task in plan.tasks.items():
        if (small := _small_sum(plan, task.discloses, at_least)) is not None:
            told, line = small
            what = "update goes" if task.discloses.update == "aggregate" else "values go"
            yield (
                f"task {name} discloses {told}; this site's {what} into sums of {at_least} or more "
                f"only: the plan needs the line `{line}`"
            )


def _small_sum(plan: Plan, disclosure: Disclosure, at_least: int) -> tuple[str, str] | None:
    """A result that a plan makes of fewer sites, and the line to write instead; None without one."""
    if not disclosure.in_sums:
        return None
    key = "cell_minimum" if plan.cells else "minimum"
    minimum = plan.cohort.cell_minimum if plan.cells else plan.cohort.minimum
    if disclosure.aggregated_by == "secure_aggregation":
        # A sum is over a whole cell, and what a robust rule chooses of is such sums.
        cell, line = smallest_cell(plan), f"cohort: {{cell_minimum: {at_least}}}"
        return None if cell >= at_least else (f"a sum of {counted(cell, 'site')}, its smallest cell", line)
    if minimum < at_least:
        told = f"a sum of {counted(minimum, 'site')} or more (`cohort: {{{key}: {minimum}}}`)"
        return told, f"cohort: {{{key}: {at_least}}}"
    rules = {"aggregation: ": plan.aggregation.robust if disclosure.update == "aggregate" else None}
    rules |= {f"groups: {{{group}: ": rule for group, rule in disclosure.robust_groups.items()}
    for place, rule in rules.items():
        if isinstance(rule, Krum) and rule.keep < at_least:
            kept = "one update" if rule.keep == 1 else f"the mean of {rule.keep} updates"
            line = f"{place}{rule.model_copy(update={'keep': at_least}).shown}"
            return f"{kept} that Krum chooses (`keep: {rule.keep}`)", line + "}" * place.count("{")
    return None


def default_refusals(plan: Plan) -> tuple[str, ...]:
    """Say in sentences for which sums sites with the default policy refuse a plan, and the line to add."""
    at_least = MaximalDisclosure().at_least
    small = {name: _small_sum(plan, task.discloses, at_least) for name, task in plan.tasks.items()}
    found: dict[tuple[str, str], list[str]] = {}
    for name, problem in small.items():
        if problem is not None:
            found.setdefault(problem, []).append(name)
    return tuple(
        f"sites refuse this plan by default: {named(tasks)} may disclose {told}, and a site's policy asks "
        f"for at least {at_least} (`discloses: {{at_least: {at_least}}}`). Add to the plan: `{line}`"
        for (told, line), tasks in found.items()
    )


def _missing(manifest: Manifest, data_sources: frozenset[str]) -> list[str]:
    return [
        f"the plan needs a data source {name!r} that site.yaml does not name"
        for name in manifest.plan.data
        if name not in data_sources
    ]
