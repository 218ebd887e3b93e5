"""The messages between parties: JSON, checked by one strict schema each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, Field, ValidationError

from hanse.core.identity import Role
from hanse.core.schema import BlobDigest, Digest, Label, Name, Strict, problem_of
from hanse.core.statements import SignedStatement
from hanse.errors import ProtocolError
from hanse.wire import protocol
from hanse.wire.participation import SetAside, TookPart

MAX_MESSAGE = 1 << 20
"""Longest message in bytes; tensors are blobs and no messages."""
MAX_WAIT_S = 60.0
"""Longest that a long poll may wait."""
MAX_LOG_TAIL = 8_192

PLAN_ANSWER = "hanse plan answer 1"
TASK_RESULT = "hanse task result 1"
"""Purposes of signatures: one for a plan's answer cannot pass for one of a result."""

Time = Annotated[int, Field(ge=0, le=2**53)]
"""Milliseconds since 1970 (UTC)."""

RunId = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")


class Hello(Strict):
    """Who is answering here; the one message that needs no certificate, with `Enrol`.

    Attributes:
        protocol: Newest version of the protocol that is spoken here.
    """

    service: Literal["hanse"] = "hanse"
    protocol: int = Field(default_factory=lambda: protocol.SPOKEN.newest)
    version: str
    federation: str
    time_ms: Time


class EnrolRequest(Strict):
    """A site's one-time token and the certificate signing request for the key it made."""

    token: str = Field(max_length=4_096)
    csr: str = Field(max_length=8_192)


class RenewRequest(Strict):
    """A request for the next certificate, by a party that still has a valid one."""

    csr: str = Field(max_length=8_192)


class Certificates(Strict):
    """A party's certificate and its federation's authority, PEM."""

    certificate: str = Field(max_length=16_384)
    authority: str = Field(max_length=16_384)


class NextRequest(Strict):
    """A collaborator's long poll: answer as soon as its work differs from what it knows.

    Attributes:
        known: `Work.version` of the last answer; empty to be answered at once.
        wait_s: Longest to wait.
    """

    known: str = Field("", max_length=64)
    wait_s: float = Field(30.0, ge=0, le=MAX_WAIT_S)


class ModelDelta(Strict):
    """A blob by which a site that still has one model makes the next.

    Attributes:
        base: Digest of the model that it has to have.
    """

    base: BlobDigest
    digest: BlobDigest
    size: int = Field(ge=0)


class Assignment(Strict):
    """One task for one site.

    Attributes:
        exchange: Number of the exchange in its run; also the task's place in the order of tasks.
        model: Digest of the parameters to start from; None for the task `initialise`.
        max_update_bytes: Largest update file that will be taken.
        delta: What makes `model` of the one before; it is always to be had whole too.
        accepted: Where compression feeds its error back, the site's last exchange whose result was
            accepted: what was left out then is what the next update makes up for. Else, or for none, 0.
    """

    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None = None
    model_bytes: int = Field(0, ge=0)
    max_update_bytes: int = Field(0, ge=0)
    accepted: int = Field(0, ge=0)
    deadline_ms: Time
    delta: ModelDelta | None = None


class RunWork(Strict):
    """What a run wants of a site.

    Attributes:
        review: Whether the site's answer to the plan is wanted.
        progress_s: How often a task under way has to show progress.
        set_aside: Why the site is not asked at present, and until when; empty where it is.
    """

    run_id: str = RunId
    plan_digest: Digest
    plan_bytes: int = Field(ge=0, le=MAX_MESSAGE * 16)
    review: bool = False
    progress_s: float = Field(gt=0)
    set_aside: str = Field("", max_length=2_000)
    assignments: tuple[Assignment, ...] = Field((), max_length=100)


class Work(Strict):
    """All that is wanted of a site now; a run that is not listed is over for it.

    Attributes:
        version: Changes whenever the content does.
    """

    version: str = Field(max_length=64)
    runs: tuple[RunWork, ...] = Field((), max_length=1_000)


class PlanAnswer(Strict):
    """A site's word on a plan; the body of a signed statement."""

    federation: Name
    site: Name
    plan_digest: Digest
    accepted: bool
    reasons: tuple[str, ...] = Field((), max_length=100)
    decided_ms: Time


class UpdateFile(Strict):
    """The blob that holds an update."""

    # Statements in journals of before 0.1 say `sha256`.
    digest: BlobDigest = Field(validation_alias=AliasChoices("digest", "sha256"))
    size: int = Field(ge=0)


class TaskOutcome(Strict):
    """What came of a task at a site; the body of a signed statement."""

    federation: Name
    site: Name
    run_id: str = RunId
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None
    outcome: Literal["done", "failed"]
    num_examples: int = Field(0, ge=0)
    metrics: dict[Label, float] = Field(default_factory=dict, max_length=100)
    update: UpdateFile | None = None
    reason: str = Field("", max_length=4_096)
    log_tail: str = Field("", max_length=MAX_LOG_TAIL)


class AnswerRequest(Strict):
    """A site's signed answer to the plan of a run."""

    run_id: str = RunId
    statement: SignedStatement


class ResultRequest(Strict):
    """A site's signed outcome of a task; sending it twice changes nothing."""

    statement: SignedStatement


class ResultReply(Strict):
    """The outcome is durable.

    Attributes:
        duplicate: It was here already.
    """

    duplicate: bool = False


class ProgressRequest(Strict):
    """A task under way made progress."""

    run_id: str = RunId
    exchange: int = Field(ge=1)


class Empty(Strict):
    """Nothing to say."""


class ErrorReply(Strict):
    """Why a request was refused; `error` is the code of a `HanseError`."""

    error: str = Field(max_length=64)
    message: str = Field(max_length=8_192)
    mend: str = Field("", max_length=4_096)


class SubmitRequest(Strict):
    """Begin a run of a plan whose manifest and files were uploaded as blobs."""

    plan_digest: Digest


class StopRequest(Strict):
    """End a run."""

    reason: str = Field("stopped by an operator", max_length=1_000)


class InviteRequest(Strict):
    """Make a one-time token."""

    name: Name
    role: Role = Role.COLLABORATOR
    lifetime_s: float = Field(86_400.0, gt=0, le=30 * 86_400.0)


class InviteReply(Strict):
    """A one-time token."""

    token: str


class SignRequest(Strict):
    """Enrol a party from its certificate signing request, carried here by hand."""

    name: Name
    role: Role = Role.COLLABORATOR
    csr: str = Field(max_length=8_192)


class Member(Strict):
    """An enrolled party.

    Attributes:
        seen_ms: Last contact since the aggregator started; None for never.
        not_after_ms: When its present certificate ends.
    """

    name: str
    role: Role
    removed: bool = False
    seen_ms: Time | None = None
    not_after_ms: Time


class Members(Strict):
    """All parties ever enrolled."""

    members: tuple[Member, ...]


class Awaited(Strict):
    """Somebody a run waits for, and why.

    Attributes:
        what: `answer to the plan`, `train`, ...
        state: `assigned`, `started`, `idle`.
        connected: Whether the site was in contact within the last two minutes.
    """

    site: str
    what: str
    state: str
    since_ms: Time
    deadline_ms: Time
    connected: bool


class RunStatus(Strict):
    """A run as an operator sees it.

    Attributes:
        took_part: Who took part in the last exchanges that have closed.
        short_rounds: Rounds in which more data was missing than the plan tolerates.
        set_aside: Sites that are not asked at present.
    """

    run_id: str
    plan_name: str
    plan_digest: Digest
    phase: str
    reason: str = ""
    rounds: int
    rounds_committed: int
    round_open: int | None = None
    submitted_by: str
    submitted_ms: Time
    population: tuple[str, ...] = ()
    answers: dict[str, str] = Field(default_factory=dict)
    awaited: tuple[Awaited, ...] = ()
    model: BlobDigest | None = None
    best_round: int | None = None
    best_model: BlobDigest | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    took_part: tuple[TookPart, ...] = ()
    short_rounds: int = 0
    set_aside: tuple[SetAside, ...] = ()
    events: int = 0


class Runs(Strict):
    """All runs of a federation, newest first."""

    runs: tuple[RunStatus, ...]


class JournalRecord(Strict):
    """A record of a journal, as `hanse.core.chain.Record` writes it."""

    stream: str
    sequence: int
    time_ms: int
    kind: str
    body: dict[str, Any]
    previous: str
    digest: str


class EventsReply(Strict):
    """Records of a run's journal after the one asked about, and the run as it stands."""

    records: tuple[JournalRecord, ...] = Field(max_length=10_000)
    status: RunStatus


class BlobState(Strict):
    """How much of an upload is here."""

    complete: bool
    offset: int = Field(ge=0)


M = TypeVar("M", bound=Strict)


def encode(message: Strict) -> bytes:
    """Write a message as JSON."""
    return message.model_dump_json().encode()


def decode(kind: type[M], data: bytes) -> M:
    """Read a message that somebody else sent.

    Raises:
        ProtocolError: It is too long, no JSON, or not such a message; says where.
    """
    if len(data) > MAX_MESSAGE:
        raise ProtocolError(f"a {kind.__name__} of {len(data)} bytes is too long; the limit is {MAX_MESSAGE}")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _malformed(kind, error) from None


def decode_value(kind: type[M], value: dict[str, Any]) -> M:
    """Read a message that stands as JSON inside another.

    Raises:
        ProtocolError: It is not such a message; says where.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _malformed(kind, error) from None


def _malformed(kind: type[Strict], error: ValidationError) -> ProtocolError:
    return ProtocolError(f"malformed {kind.__name__}: {problem_of(error)}")
