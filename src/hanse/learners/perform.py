"""One task of a plan at one site: the same function, and so the same bits, in simulation and deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hanse.core.plan.disclosure import check_patterns, declared, disclosure_of
from hanse.core.plan.group_tensors import Received, disclosed_tensors, receives_model
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.plan.varying import settings_of
from hanse.core.values.groups import Group, Groups, flattened
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Array, Parameters, lazy_difference, mismatch, specs
from hanse.core.values.seeds import derive
from hanse.core.values.significant import rounded_metrics
from hanse.core.values.update import ReportedMetrics, Task, TaskResult
from hanse.core.values.wording import named
from hanse.errors import DisclosureError, TaskError
from hanse.learners.base import Session
from hanse.learners.failures import users_objects
from hanse.learners.notices import notice
from hanse.learners.read_back import difference
from hanse.learners.session import read_only
from hanse.local.applied import with_rules
from hanse.local.registry import local_rules

_COUNTED = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of what torch's BatchNorm keeps beside what it learns."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a site.

    Attributes:
        exchange: Number of the exchange within its run, counted from 1.
        round_number: Round it belongs to; 0 for the first model.
        task: Name of a task of the plan, or `INITIALISE`.
        settings: Settings that the workflow chose, of those that vary by the plan.
        groups: The groups that the task receives; read-only.
        counted: The site's last exchange whose result counted, 0 for none: the task starts from the local
            state that it left. None where all before this one did.
    """

    exchange: int
    round_number: int
    task: str
    settings: Mapping[str, int | float] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    counted: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Performed:
    """What a task gives to be sent, before anybody has checked it.

    Attributes:
        num_examples: Examples the task worked on.
        metrics: Numbers by name, rounded as the plan says; None for one that is not defined.
        update: The declared tensors: trained minus received parameters, for `INITIALISE` the
            parameters themselves, and the groups (`@group/array`); None for a task that discloses none of
            them. The arrays may be the learner's own, or computed from those when they are read (see
            `hanse.core.values.lazy.LazyTensor`), and hold until its next task.
    """

    num_examples: int
    metrics: ReportedMetrics = field(default_factory=dict)
    update: Parameters | None = None

    def materialize(self) -> Performed:
        """The same with arrays for an update, for whoever looks at it more than once."""
        if self.update is None:
            return self
        return replace(self, update=materialize(self.update))


def setup_seed(plan: Plan) -> int:
    """`Site.seed`: of whatever is random when a learner is made."""
    return derive(plan.seed, "setup")


def perform(session: Session, plan: Plan, site: str, ask: Ask, received: Parameters | None) -> Performed:
    """Perform one task of a plan.

    Args:
        session: The user's code at the site.
        plan: The plan; has the task.
        site: Name of the site; its tasks have seeds of their own.
        ask: Which task.
        received: The parameters to start from; None for `INITIALISE`, and for a task that receives no model.

    Raises:
        DisclosureError: The plan has no such task.
        PlanError: The plan discloses tensors that the model lacks.
        TaskError: The user's code failed, or trained nothing where an update is due.
        HanseError: As `Session.perform`.
    """
    with users_objects(ask.task):
        return _performed(session, plan, site, ask, received)


def _performed(session: Session, plan: Plan, site: str, ask: Ask, received: Parameters | None) -> Performed:
    if ask.task == INITIALISE:
        return Performed(num_examples=0, update=session.initial_parameters())
    disclosure = disclosure_of(plan, ask.task)
    if (received is None) == receives_model(plan, ask.task):
        what = "without a model" if received is None else "with a model, which it does not receive"
        raise TaskError(f"task {ask.task} at {site} was asked {what}")
    received = received or {}
    check_patterns(specs(received), plan, ask.task)
    task = Task(
        name=ask.task,
        round_number=ask.round_number,
        seed=derive(plan.seed, "task", site, ask.round_number, ask.task),
        settings=settings_of(plan, ask.task, ask.settings),
        groups={name: _read_only(group) for name, group in ask.groups.items()},
    )
    rules = local_rules(plan.tasks[ask.task].local)
    task = with_rules(task, rules, plan.personal, plan.aggregation.untrained)
    result = session.perform(task, received, sequence=ask.exchange, counted=ask.counted)
    # Where they are made, the same in a simulation: no other party ever has more digits.
    metrics = rounded_metrics(result.metrics, plan.metric_digits)
    groups = _disclosed_groups(plan, ask, site, received, result)
    if disclosure.update == "none":
        return Performed(result.num_examples, metrics, groups if disclosure.groups else None)
    update = _update_of(plan, ask, site, received, result)
    return Performed(result.num_examples, metrics, {**update, **groups})


def _read_only(group: Group) -> Group:
    if isinstance(group, Mapping):
        return MappingProxyType(read_only(group))
    return read_only({"": group})[""]


def _disclosed_groups(
    plan: Plan, ask: Ask, site: str, received: Parameters, result: TaskResult
) -> dict[str, Array]:
    """The groups that a task gave, exactly those that the plan has it disclose."""
    sent = Received(specs(received), specs(flattened(ask.groups)))
    wanted = disclosed_tensors(plan, ask.task, sent)
    declared_groups = disclosure_of(plan, ask.task).groups
    if undeclared := sorted(set(result.groups) - set(declared_groups)):
        raise DisclosureError(
            f"task {ask.task} at {site} gave the group {undeclared[0]!r}; the plan has it disclose: "
            f"{named(list(declared_groups)) or 'none'}",
            mend="Declare it under the task's `discloses: groups`, or leave it out of `TaskResult.groups`.",
        )
    given = flattened(result.groups)
    if problem := mismatch(specs(given), wanted):
        raise DisclosureError(
            f"task {ask.task} at {site} gave other groups than the plan declares: {problem}",
            mend="Tensors of groups are named `@group` or `@group/array`. Give `TaskResult.groups` arrays of "
            "the shapes and dtypes that the plan has under `groups`.",
        )
    return {name: given[name] for name in wanted}


def _update_of(plan: Plan, ask: Ask, site: str, received: Parameters, result: TaskResult) -> dict[str, Array]:
    """Difference that training made to the tensors that the plan declares."""
    disclosure = disclosure_of(plan, ask.task)
    if result.parameters is None:
        raise TaskError(
            f"task {ask.task} at {site} gave no parameters, and the plan has it disclose an update",
            mend="Return the trained parameters in `TaskResult.parameters`, or declare `update: none`.",
        )
    names = declared(specs(received), disclosure)
    if not names:
        raise TaskError(
            f"task {ask.task} at {site} has nothing to train: the model has no tensors, and the plan has it "
            "disclose an update",
            mend="Give the model in the learner's parameters(), or declare `update: none`.",
        )
    trained = {name: result.parameters[name] for name in names}
    before = {name: received[name] for name in names}
    # What BatchNorm counts changes with every pass, whether or not anything is trained.
    learnt = {name: before[name] for name in names if not name.endswith(_COUNTED)}
    if learnt and result.num_examples and not result.converged and not difference(trained, learnt):
        notice(
            f"task {ask.task} gave back exactly the parameters that it received: nothing of what is "
            "federated was trained. Does the code train another object than it federates, such as a copy?"
        )
    return lazy_difference(trained, before)
