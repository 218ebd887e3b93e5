"""What a site permits, and its decision on a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from hanse.core.plan.exchange_limits import all_in_run
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import BUILT_IN_WORKFLOWS, Plan
from hanse.core.plan.robust_rules import Krum
from hanse.core.values.schema import Digest, Strict
from hanse.core.values.wording import counted, named

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
    refused whatever the rules of acceptance say.
    """
    reasons = (*_excesses(policy, manifest), *_missing(manifest, data_sources))
    if reasons:
        return Decision(Verdict.REFUSE, reasons)
    plan = manifest.plan
    if digest in policy.accept_digests:
        return Decision(Verdict.ACCEPT, ("its digest is on the list of accepted plans",))
    for pattern in policy.accept:
        if fnmatchcase(plan.name, pattern):
            return Decision(Verdict.ACCEPT, (f"its name matches the rule {pattern!r}",))
    if policy.otherwise == "refuse":
        return Decision(Verdict.REFUSE, ("no rule of this site accepts it",))
    return Decision(Verdict.ASK, ("no rule of this site decides; a person has to",))


def _excesses(policy: Policy, manifest: Manifest) -> list[str]:
    plan, most = manifest.plan, policy.discloses
    found = list[str]()
    for name, task in plan.tasks.items():
        if _LEVELS.index(task.discloses.update) > _LEVELS.index(most.update):
            found.append(
                f"task {name} discloses update: {task.discloses.update}; this site permits {most.update}"
            )
        for metric in task.discloses.metrics:
            if not any(fnmatchcase(metric, pattern) for pattern in most.metrics):
                found.append(f"task {name} discloses the metric {metric!r}, which this site does not permit")
    found += _small_sums(plan, most.at_least)
    if plan.initial_model is None and not most.first_model:
        found.append(
            "the plan has no initial_model, and this site does not let its own first model be asked for"
        )
    if plan.workflow not in BUILT_IN_WORKFLOWS and not policy.own_workflows:
        found.append(f"the plan has its own workflow {plan.workflow!r}; this site permits built-in ones only")
    if policy.max_rounds is not None and plan.rounds > policy.max_rounds:
        found.append(f"the plan has {plan.rounds} rounds; this site permits {policy.max_rounds}")
    if policy.max_tasks is not None and (exchanges := all_in_run(plan)) > policy.max_tasks:
        found.append(
            f"the plan may ask a site in {exchanges} exchanges, in all rounds and of all tasks together; "
            f"this site permits {policy.max_tasks}"
        )
    return found


def _small_sums(plan: Plan, at_least: int) -> Iterator[str]:
    if (most := _small_sum(plan, at_least)) is None:
        return
    told, line = most
    for name, task in plan.tasks.items():
        if task.discloses.update == "aggregate":
            yield (
                f"task {name} discloses {told}; this site's update goes into sums of {at_least} or more "
                f"only: the plan needs the line `{line}`"
            )


def _small_sum(plan: Plan, at_least: int) -> tuple[str, str] | None:
    """A result that a plan makes of fewer updates, and the line to write instead; None without one."""
    minimum, rule = plan.cohort.minimum, plan.aggregation.robust
    if minimum < at_least:
        told = f"a sum of {counted(minimum, 'site')} or more (`cohort: {{minimum: {minimum}}}`)"
        return told, f"cohort: {{minimum: {at_least}}}"
    if isinstance(rule, Krum) and rule.keep < at_least:
        kept = "one update" if rule.keep == 1 else f"the mean of {rule.keep} updates"
        line = f"aggregation: {rule.model_copy(update={'keep': at_least}).shown}"
        return f"{kept} that Krum chooses (`keep: {rule.keep}`)", line
    return None


def default_refusals(plan: Plan) -> tuple[str, ...]:
    """Say in sentences for which sums sites with the default policy refuse a plan, and the line to add."""
    at_least = MaximalDisclosure().at_least
    tasks = [name for name, task in plan.tasks.items() if task.discloses.update == "aggregate"]
    most = _small_sum(plan, at_least)
    if not tasks or most is None:
        return ()
    told, line = most
    return (
        f"sites refuse this plan by default: {named(tasks)} may disclose {told}, and a site's policy asks "
        f"for at least {at_least} (`discloses: {{at_least: {at_least}}}`). Add to the plan: `{line}`",
    )


def _missing(manifest: Manifest, data_sources: frozenset[str]) -> list[str]:
    return [
        f"the plan needs a data source {name!r} that site.yaml does not name"
        for name in manifest.plan.data
        if name not in data_sources
    ]
