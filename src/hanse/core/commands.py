"""What a run can be told: commands, with everything that a decision needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.events import SignedStatement
from hanse.core.plan import Manifest


@dataclass(frozen=True, slots=True)
class Submit:
    """Begin a run of a plan."""

    run_id: str
    manifest: Manifest
    plan_digest: str
    submitted_by: str
    invited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invite:
    """Ask one more site for its answer to the plan."""

    site: str


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """A site's answer to the plan."""

    site: str
    accepted: bool
    reasons: tuple[str, ...] = ()
    statement: SignedStatement | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """A site no longer takes part."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpenRound:
    """The workflow begins a round; opening the open round again changes nothing."""

    round_number: int


@dataclass(frozen=True, slots=True)
class OpenExchange:
    """The workflow asks a task of the round's cohort.

    Attributes:
        index: Place among the exchanges of the round, from 0. A restarted workflow that
            asks the same at the same place finds the exchange as it is.
        sites: Ask only these of the population; None for the round's cohort.
    """

    round_number: int
    index: int
    task: str
    model: str | None
    sites: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The workflow wants another update of a stream: every free site is asked.

    Attributes:
        taken: Exchanges whose updates the workflow has already been given since the last commit.
    """

    task: str
    model: str
    taken: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class StartTask:
    """A site took up its task."""

    exchange: int
    site: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """A site's result, already checked and durable."""

    exchange: int
    site: str
    num_examples: int
    metrics: Mapping[str, float]
    update: str | None
    statement: SignedStatement | None = None


@dataclass(frozen=True, slots=True)
class FailTask:
    """A site's word that its task failed for good."""

    exchange: int
    site: str
    reason: str
    log_tail: str = ""
    statement: SignedStatement | None = None


@dataclass(frozen=True, slots=True)
class RefuseResult:
    """A result that must not count; recorded so that it can be asked about later.

    Attributes:
        num_examples: What the answer said, where it was only late; None of any other result.
    """

    exchange: int
    site: str
    error: str
    reason: str
    num_examples: int | None = None


@dataclass(frozen=True, slots=True)
class RecordAggregate:
    """The sum of an exchange's updates was given to the workflow."""

    exchange: int
    sites: tuple[str, ...]
    num_examples: int
    aggregate: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    """The workflow ends a round with its model; committing the same again changes nothing."""

    round_number: int
    model: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str | None = None
    consumed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed.

    Attributes:
        progress_ms: When each (exchange, site) last showed progress, milliseconds since 1970.
    """

    progress_ms: Mapping[tuple[int, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestartWorker:
    """The workflow's process ended early."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """The aggregator came back after a crash or an upgrade."""


@dataclass(frozen=True, slots=True)
class Resume:
    """An operator takes the run up again."""

    by: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """An operator has a site asked again that was set aside."""

    site: str
    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator ends the run."""

    by: str
    reason: str = "stopped by an operator"


@dataclass(frozen=True, slots=True)
class Fail:
    """The run cannot go on."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The workflow's function returned."""


Command = (
    Submit
    | Invite
    | AnswerPlan
    | Leave
    | OpenRound
    | OpenExchange
    | OpenStream
    | StartTask
    | AcceptResult
    | FailTask
    | RefuseResult
    | RecordAggregate
    | Commit
    | Tick
    | RestartWorker
    | Recover
    | Resume
    | TakeBack
    | Stop
    | Fail
    | Finish
)
