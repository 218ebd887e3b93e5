"""Messages about runs, between operators and the aggregator."""

from __future__ import annotations

from itertools import islice
from typing import Any

from pydantic import Field

from hanse.core.run.attendance import Participation, format_absent
from hanse.core.run.round_events import Data
from hanse.core.values.schema import BlobDigest, Digest, Strict
from hanse.wire.messages.basics import Time


class SuspendedSite(Strict):
    """A site that is not asked at present.

    Attributes:
        back_round: Round from which it is asked again; None where its rest is a time.
        back_ms: When its rest is over; None where it is a number of rounds.
        told: Why, and until when, as a sentence.
    """

    site: str
    reason: str
    round_number: int
    since_ms: int
    reinstatement_round: int | None = None
    reinstatement_ms: int | None = None
    told: str


class TookPart(Strict):
    """Who took part in a closed exchange, and with how much data.

    The journal names everybody; here the first of a long list stand for it.

    Attributes:
        asked: How many sites were.
        answered: How many did.
        failed: Those that failed, with the reason.
        idle: Those that fell silent.
        unanswered: Those that were still at it at the close.
        late: Those whose answer came after the close, with its examples.
        suspended: Sites that were not asked because they are suspended.
        num_examples: Sum over those that answered.
        missing_examples: Sum over those that did not, by what they said in earlier rounds.
        missing_share: Part of the data known that is missing.
        unknown: Those that did not answer and never have answered this task.
        tolerated: Part of the data that the plan lets be missing; None where it says nothing.
        too_little: Whether more is missing than that.
        told: Who is missing, as a sentence; empty for nobody.
    """

    exchange: int
    round_number: int
    task: str
    cause: str
    asked: int
    answered: int
    failed: dict[str, str]
    idle: tuple[str, ...]
    unanswered: tuple[str, ...]
    late: dict[str, int]
    suspended: tuple[str, ...]
    num_examples: int
    missing_examples: int
    missing_share: float
    unknown: tuple[str, ...]
    tolerated: float | None
    too_little: bool
    told: str

    @staticmethod
    def of(found: Participation, most: int | None = None) -> TookPart:
        """The message of a closed exchange.

        Args:
            found: Who took part.
            most: Sites to name for each reason; None for all.
        """
        data = found.data or Data(answered=0, missing=0)
        return TookPart(
            exchange=found.exchange,
            round_number=found.round_number,
            task=found.task,
            cause=found.cause,
            asked=len(found.asked),
            answered=len(found.answered),
            failed=dict(islice(found.failed.items(), most)),
            idle=found.idle[:most],
            unanswered=found.unanswered[:most],
            late=dict(islice(found.late.items(), most)),
            suspended=found.suspended[:most],
            num_examples=data.answered,
            missing_examples=data.missing,
            missing_share=data.share,
            unknown=data.unknown[:most],
            tolerated=data.tolerated,
            too_little=data.too_little,
            told=format_absent(found),
        )


class SubmitRequest(Strict):
    """Begin a run of a plan whose manifest and files were uploaded as blobs."""

    plan_digest: Digest


class StopRequest(Strict):
    """End a run."""

    reason: str = Field("stopped by an operator", max_length=1_000)


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
        population: Sites that take part; the first of many.
        answers: What each site says to the plan; the first of many.
        sites: Number of sites by what they say to the plan.
        took_part: Who took part in the last exchanges that have closed.
        short_rounds: Rounds in which more data was missing than the plan tolerates.
        suspended: Sites that are not asked at present.
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
    sites: dict[str, int] = Field(default_factory=dict)
    awaited: tuple[Awaited, ...] = ()
    model: BlobDigest | None = None
    best_round: int | None = None
    best_model: BlobDigest | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    took_part: tuple[TookPart, ...] = ()
    short_rounds: int = 0
    suspended: tuple[SuspendedSite, ...] = ()
    events: int = 0


class Runs(Strict):
    """All runs of a federation, newest first."""

    runs: tuple[RunStatus, ...]


class JournalRecord(Strict):
    """A record of a journal, as `hanse.core.journal.chain.Record` writes it."""

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
