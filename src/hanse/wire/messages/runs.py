"""Messages about runs, between operators and the aggregator."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from hanse.core.run.attendance import Participation
from hanse.core.run.round_events import Data
from hanse.core.values.groups import RESULT_NAME
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import BlobDigest, Digest, Name, Strict
from hanse.wire.messages.basics import Time

MOST_STOP_REASON = 1_000
"""Characters of an operator's reason."""


MOST_CHOSEN = 10_000
"""Sites that an operator names for a run."""


class SuspendedSite(Strict):
    """A site that a run does not ask at present.

    Attributes:
        reason: Why it was suspended.
        round_number: Round after which it was suspended.
        since_ms: When.
        reinstatement_round: Round from which on it is asked again; None where its rest is a time.
        reinstatement_ms: When its rest is over; None where it is a number of rounds.
    """

    site: str
    reason: str
    round_number: int
    since_ms: Time
    reinstatement_round: int | None = None
    reinstatement_ms: Time | None = None


class ExchangeAttendance(Strict):
    """Sites that took part in a closed exchange, and how much data they have.

    The journal names every site; of a long list the first stand here, and the numbers are of all.

    Attributes:
        asked: Number of sites that were asked.
        answered: Number of sites that answered.
        absent: Number of sites that the exchange went without: of the next four, and of `lost_with_cell`.
        failed: Those that failed, with the reason.
        idle: Those that had fallen silent.
        unanswered: Those that were still at work at the close.
        suspended: Those that were not asked, because they are suspended.
        late: Sites whose answer came after the close, with its examples.
        num_examples: Sum over the sites that answered.
        missing_examples: Sum over the absent sites, by what they stated in earlier rounds.
        missing_share: Part of the data known that is missing; None where no site gave a count.
        unknown: Absent sites that have never answered this task.
        unknown_count: Number of those.
        tolerated: Part of the data that the plan lets be missing; None where it says nothing.
        too_little: Whether more is missing than that.
        masked: Whether its sums are masked, so that no number of examples is known.
        left_out: Why cells are not in the sum, by cell.
        lost_with_cell: Sites that are not in the sum for lack of others of their cell alone, with these.
        not_asked: Why cells were not asked, by cell.
    """

    exchange: int
    round_number: int
    task: str
    cause: str
    asked: int = Field(ge=0)
    answered: int = Field(ge=0)
    absent: int = Field(ge=0)
    failed: dict[str, str]
    idle: tuple[str, ...]
    unanswered: tuple[str, ...]
    suspended: tuple[str, ...]
    late: dict[str, int]
    num_examples: int
    missing_examples: int
    missing_share: float | None
    unknown: tuple[str, ...]
    unknown_count: int = Field(ge=0)
    tolerated: float | None
    too_little: bool
    masked: bool = False
    left_out: dict[str, str] = Field(default_factory=dict)
    lost_with_cell: dict[str, str] = Field(default_factory=dict)
    not_asked: dict[str, str] = Field(default_factory=dict)

    @staticmethod
    def of(found: Participation, most: int | None = None) -> ExchangeAttendance:
        """The message of a closed exchange.

        Args:
            found: Who took part.
            most: Absent sites to name whose data is known, and as many whose data is not; None for all.
        """
        data = found.data or Data(answered=0, missing=0)
        unknown = frozenset(data.unknown)
        known = [site for site in found.absent if site not in unknown]
        shown = {*known[:most], *data.unknown[:most]}
        return ExchangeAttendance(
            exchange=found.exchange,
            round_number=found.round_number,
            task=found.task,
            cause=found.cause,
            asked=len(found.asked),
            answered=len(found.answered),
            absent=len(found.absent),
            failed={site: reason for site, reason in found.failed.items() if site in shown},
            idle=tuple(site for site in found.idle if site in shown),
            unanswered=tuple(site for site in found.unanswered if site in shown),
            suspended=tuple(site for site in found.suspended if site in shown),
            late=dict(islice(found.late.items(), most)),
            num_examples=data.answered,
            missing_examples=data.missing,
            missing_share=None if found.data is None else data.share,
            unknown=data.unknown[:most],
            unknown_count=len(data.unknown),
            tolerated=data.tolerated,
            too_little=data.too_little,
            masked=found.masked,
            left_out=dict(islice(found.left_out.items(), most)),
            lost_with_cell={site: why for site, why in found.lost_with_cell.items() if site in shown},
            not_asked=dict(islice(found.not_asked.items(), most)),
        )


class SubmitRequest(Strict):
    """Begin a run of a plan whose manifest and files were uploaded as blobs.

    Attributes:
        name: Name of the run; None for the plan's with a number.
        sites: Sites to ask, and no others; None for all, also those that join later.
    """

    plan_digest: Digest
    name: Name | None = None
    sites: tuple[Name, ...] | None = Field(None, min_length=1, max_length=MOST_CHOSEN)


class StopRequest(Strict):
    """End a run."""

    reason: str = Field("stopped by an operator", max_length=MOST_STOP_REASON)


class AdmitRequest(Strict):
    """Permit that another instance of a site gets the keys of a sealed run."""

    reason: str = Field(min_length=1, max_length=MOST_STOP_REASON)


class AwaitedSite(Strict):
    """A site that a run waits for, and why.

    Attributes:
        task: The task whose answer is awaited; None where it is the answer to the plan.
        state: `assigned`, `started`, `idle`; `ready` for a site whose masked vector is awaited.
        connected: Whether the site was in contact within the last two minutes.
        needed: Whether the exchange waits for this site; for an idle one it does only where it cannot have
            enough answers without those of idle sites.
        cell: Cell of the site, where its answer goes into a masked sum, of which no member may be missing.
        evidence: Why the site is asked nothing before its evidence is accepted; empty where it is.
    """

    site: str
    task: str | None
    state: str
    since_ms: Time
    deadline_ms: Time
    connected: bool
    needed: bool = True
    cell: str | None = None
    evidence: str = Field("", max_length=500)


class CellStatus(Strict):
    """A cell of a masked sum in an exchange that is open, as an operator sees it.

    Attributes:
        phase: `ready`, `masked`, `complete` or `left out`: what the cell waits for, or how it ended;
            `not asked` of one of which a member takes no part.
        attempt: Number of the present attempt, from 1.
        awaited: Members that the phase waits for.
        failed: Members whose task failed, or that left.
        reason: Why the attempt before could not end, or the cell is not asked; else empty.
        left_out: Why the cell is not in the sum; empty where it is.
    """

    exchange: int
    round_number: int
    task: str
    cell: str
    phase: str
    members: int = Field(ge=1)
    attempt: int = Field(ge=1)
    awaited: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    reason: str = ""
    left_out: str = ""


class StartWait(Strict):
    """Acceptances that a run waits for before it starts.

    Attributes:
        accepted: Number of sites that have accepted the plan.
        needed: Number of sites that have to accept.
        asked: Number of sites that were asked and have not left.
        unanswered: Number of sites whose answer is awaited.
        until_ms: When the run starts without the other answers, or fails.
        absent: Sites of those that have not been connected since the submission.
        absent_count: Number of those.
        absent_until_ms: When the run starts without those, if enough sites have accepted.
    """

    accepted: int = Field(ge=0)
    needed: int = Field(ge=1)
    asked: int = Field(ge=0)
    unanswered: int = Field(ge=0)
    until_ms: Time
    absent: tuple[str, ...] = ()
    absent_count: int = Field(0, ge=0)
    absent_until_ms: Time


ResultName = Annotated[str, Field(pattern=RESULT_NAME)]


class RunStatus(Strict):
    """A run as an operator sees it.

    The journal names every site; of a long list the first stand here.

    Attributes:
        error: Code of the error that the run has failed with.
        population: Number of sites that take part.
        answers: What became of the plan at each site: `accepted`, `refused`, `awaited` or `left`.
        answer_counts: How many sites there are of each of these.
        start: What the run waits for before it starts; None once it has.
        awaited: Sites that the run waits for, and idle ones whose answers would still count.
        cells: Cells of the masked sums that are under way; those that are not complete come first.
        results: Digests of the run's results, by name.
        attendance: Sites that took part in the last exchanges that have closed.
        short_rounds: Number of rounds in which more data was missing than the plan tolerates.
        suspended: Sites that are not asked at present.
        held: Whether nothing is recorded until an operator has acted, because the aggregator was restored
            from a backup.
        expired: Whether its models were deleted: it ended longer ago than they are kept.
    """

    run_id: str
    plan_name: str
    plan_digest: Digest
    phase: str
    error: str = ""
    reason: str = ""
    rounds: int
    rounds_committed: int
    round_open: int | None = None
    submitted_by: str
    submitted_ms: Time
    population: int = Field(0, ge=0)
    answers: dict[str, str] = Field(default_factory=dict)
    answer_counts: dict[str, int] = Field(default_factory=dict)
    start: StartWait | None = None
    awaited: tuple[AwaitedSite, ...] = ()
    cells: tuple[CellStatus, ...] = ()
    model: ModelRef | None = None
    best_round: int | None = None
    best_model: ModelRef | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    results: dict[ResultName, BlobDigest] = Field(default_factory=dict, max_length=1_000)
    attendance: tuple[ExchangeAttendance, ...] = ()
    short_rounds: int = 0
    suspended: tuple[SuspendedSite, ...] = ()
    held: bool = False
    expired: bool = False
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
