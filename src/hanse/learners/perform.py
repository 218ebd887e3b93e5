"""One task of a plan at one site: the same function, and so the same bits, in simulation and deployment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hanse.core.plan.disclosure import check_patterns, declared, disclosure_of
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Parameters, lazy_difference, specs
from hanse.core.values.seeds import derive
from hanse.core.values.significant import rounded_metrics
from hanse.core.values.update import ReportedMetrics, Task
from hanse.errors import TaskError
from hanse.learners.base import Session
from hanse.learners.failures import users_objects
from hanse.learners.notices import notice
from hanse.learners.read_back import difference

_COUNTED = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of what torch's BatchNorm keeps beside what it learns."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a site.

    Attributes:
        exchange: Number of the exchange within its run, counted from 1.
        round_number: Round it belongs to; 0 for the first model.
        task: Name of a task of the plan, or `INITIALISE`.
    """

    exchange: int
    round_number: int
    task: str


@dataclass(frozen=True, slots=True, eq=False)
class Performed:
    """What a task gives to be sent, before anybody has checked it.

    Attributes:
        num_examples: Examples the task worked on.
        metrics: Numbers by name, rounded as the plan says; None for one that is not defined.
        update: The declared tensors: trained minus received parameters, for `INITIALISE` the
            parameters themselves; None for a task that discloses no update. The arrays may be
            the learner's own, or computed from those when they are read (see
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
        received: The parameters to start from; None for `INITIALISE` only.

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
    if received is None:
        raise TaskError(f"task {ask.task} at {site} was asked without a model")
    check_patterns(specs(received), plan, ask.task)
    task = Task(
        name=ask.task,
        round_number=ask.round_number,
        seed=derive(plan.seed, "task", site, ask.round_number, ask.task),
        settings=plan.tasks[ask.task].learner_settings(),
    )
    result = session.perform(task, received, sequence=ask.exchange)
    # Where they are made, the same in a simulation: no other party ever has more digits.
    metrics = rounded_metrics(result.metrics, plan.metric_digits)
    if disclosure.update == "none":
        return Performed(result.num_examples, metrics)
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
    return Performed(result.num_examples, metrics, lazy_difference(trained, before))
