"""Messages about a site's work: its tasks, its answers and its results."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.site_records import JournalHead
from hanse.core.plan.groups import MOST_GROUPS, GroupName
from hanse.core.values.ask_inputs import AskInputs, StatedInputs
from hanse.core.values.evidence.sealed_key import Said, WrappedKey
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import BlobDigest, Digest, Label, Name, Strict
from hanse.core.values.statements import CertifiedStatement, SignedStatement, Statement
from hanse.core.values.sums.place import SumPlace
from hanse.wire.messages.basics import MAX_MESSAGE, MAX_WAIT_S, RunId, Time
from hanse.wire.messages.sums import SumAsked

MAX_LOG_TAIL = 8_192
MOST_RECEIPTS = 32
"""Receipts that an agent shows when it connects."""

PLAN_ANSWER = "hanse plan answer 2"
TASK_RESULT = "hanse task result 3"
"""Purposes of signatures: one for a plan's answer cannot pass for one of a result."""
PLAN_ANSWER_1 = "hanse plan answer 1"
TASK_RESULT_1 = "hanse task result 1"
TASK_RESULT_2 = "hanse task result 2"
"""Purposes of certified statements, of before 0.2; an outcome of 2 names its record in the site's journal."""


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

    base: ModelRef
    digest: BlobDigest
    size: int = Field(ge=0)


class GroupFile(Strict):
    """The blob that holds a group.

    Attributes:
        key: Key of the file in a sealed run.
    """

    digest: BlobDigest
    size: int = Field(ge=0)
    key: WrappedKey | None = None


class Assignment(Strict):
    """One task for one site.

    Attributes:
        exchange: Number of the exchange in its run; also the task's place in the order of tasks.
        model: Digest of the parameters to start from; None for the task `initialise`.
        max_update_bytes: Largest update file that will be taken.
        delta: What makes `model` of the one before; it is always to be had whole too.
        accepted: The site's last exchange whose result was accepted, 0 for none; in a plan with masked sums
            the last that summed the site's cell. The task starts from the local state that it left, and
            where compression feeds its error back, what was left out then is what the next update makes up
            for.
        roster: Digest of the roster of the exchange; None only in a run that was under way before 0.2.
        groups: The groups that the task receives, by name.
        settings: Settings of the task that the workflow chose, of those that vary by the plan.
        cells: The cells that are asked; None for the cohort, or sites that the workflow chose.
        secure_sum: What is waited for in the site's cell; None where the result leaves unmasked.
        key: Key of the model's file in a sealed run, for this site's instance.
    """

    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: ModelRef | None = None
    model_bytes: int = Field(0, ge=0)
    max_update_bytes: int = Field(0, ge=0)
    accepted: int = Field(0, ge=0)
    deadline_ms: Time
    delta: ModelDelta | None = None
    roster: Digest | None = None
    groups: dict[GroupName, GroupFile] = Field(default_factory=dict, max_length=MOST_GROUPS)
    settings: dict[Label, int | float] = Field(default_factory=dict, max_length=50)
    cells: tuple[Label, ...] | None = Field(None, max_length=1_000)
    secure_sum: SumAsked | None = None
    key: WrappedKey | None = None

    @property
    def inputs(self) -> AskInputs:
        """Inputs beside the model."""
        digests = {name: file.digest for name, file in self.groups.items()}
        return AskInputs(digests, self.settings, self.cells)


class RunSuspension(Strict):
    """Why a run does not ask a site at present, and until when.

    Attributes:
        reinstatement_round: Round from which on the site is asked again; None where its rest is a time.
        reinstatement_ms: When its rest is over; None where it is a number of rounds.
    """

    reason: str = Field(max_length=1_000)
    reinstatement_round: int | None = Field(None, ge=0)
    reinstatement_ms: Time | None = None


class EvidenceAsked(Strict):
    """Where a site's instance stands in a run whose plan asks for evidence.

    Attributes:
        aggregator: Name of the aggregator's instance; another one means that evidence is exchanged again.
        instance: Name of the site's instance that the aggregator has appraised last; None for none.
        accepted: Whether that instance takes part.
        expires_ms: When its verdict ends.
        reason: Which component differs, or what else is missing, where it does not take part.
    """

    aggregator: Digest
    instance: Digest | None = None
    accepted: bool = False
    expires_ms: Time | None = None
    reason: str = Field("", max_length=4_096)


class RunWork(Strict):
    """Work that a run has for a site.

    Attributes:
        submitted_ms: When the plan was submitted, milliseconds since 1970. Two runs of one name differ by
            it, where the aggregator was restored from a backup.
        review: Whether the site's answer to the plan is wanted.
        progress_s: How often a task under way has to show progress.
        suspension: Why the site is not asked at present; None where it is.
        evidence: Where the site's instance stands; None where the plan asks for no evidence.
    """

    run_id: str = RunId
    plan_digest: Digest
    plan_bytes: int = Field(ge=0, le=MAX_MESSAGE * 16)
    submitted_ms: int | None = Field(None, ge=0, le=2**53)
    review: bool = False
    progress_s: float = Field(gt=0)
    suspension: RunSuspension | None = None
    evidence: EvidenceAsked | None = None
    assignments: tuple[Assignment, ...] = Field((), max_length=100)


class Work(Strict):
    """Complete list of a site's pending work; a run that is not listed is over for the site.

    Attributes:
        version: Changes whenever the content does.
        restored: The last record in the membership of an acknowledged restore; None where there is none.
    """

    version: str = Field(max_length=64)
    restored: ChainHead | None = None
    runs: tuple[RunWork, ...] = Field((), max_length=1_000)


class PlanAnswer(Strict):
    """A site's word on a plan; the body of a signed statement.

    Attributes:
        signer: Fingerprint of the site's own signing key; None before 0.2.
    """

    federation: Name
    site: Name
    plan_digest: Digest
    accepted: bool
    reasons: tuple[str, ...] = Field((), max_length=100)
    decided_ms: Time
    signer: Digest | None = None


class UpdateFile(Strict):
    """The blob that holds an update."""

    # Statements in journals of before 0.1 say `sha256`.
    digest: BlobDigest = Field(validation_alias=AliasChoices("digest", "sha256"))
    size: int = Field(ge=0)


class TaskOutcome(StatedInputs):
    """What came of a task at a site; the body of a signed statement.

    Attributes:
        journal: The record of this release in the site's own journal; None in 0.1 only.
        roster: Digest of the roster of the exchange, in which the site found its own key; None where the
            exchange states none, and where the task failed because the site refused the roster.
        counted: The site's last exchange of the run that counted, from whose local state the task started; 0
            for none, and before 0.2.
        secure_sum: Where the masked vector belongs that is `update` then; None where the result is unmasked.
        instance: Name of the site's instance, where the plan asks for evidence.
        sealed_to: Name of the aggregator's instance that can open the update, in a sealed run.
    """

    federation: Name
    site: Name
    run_id: str = RunId
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: ModelRef | None
    outcome: Literal["done", "failed"]
    num_examples: int = Field(0, ge=0)
    metrics: dict[Label, float | None] = Field(default_factory=dict, max_length=100)
    update: UpdateFile | None = None
    reason: str = Field("", max_length=4_096)
    log_tail: str = Field("", max_length=MAX_LOG_TAIL)
    journal: JournalHead | None = None
    roster: Digest | None = None
    counted: int = Field(0, ge=0)
    secure_sum: SumPlace | None = None
    instance: Digest | None = None
    sealed_to: Digest | None = None


def purpose_of_outcome(statement: Statement) -> str:
    """The purpose that an outcome was signed for: one of 0.1 has no journal in it."""
    if isinstance(statement, SignedStatement):
        return TASK_RESULT
    return TASK_RESULT_2 if "journal" in statement.body else TASK_RESULT_1


def purpose_of_answer(statement: Statement) -> str:
    """The purpose that an answer to a plan was signed for."""
    return PLAN_ANSWER if isinstance(statement, SignedStatement) else PLAN_ANSWER_1


class AnswerRequest(Strict):
    """A site's signed answer to the plan of a run."""

    run_id: str = RunId
    statement: SignedStatement


class ResultRequest(Strict):
    """A site's signed outcome of a task; sending it twice changes nothing.

    Attributes:
        receipt: The last receipt that the site holds of the run or, without one, of any; None for none.
        spoken: Signature of the site's instance over the body of the statement, where the plan asks for
            evidence.
    """

    statement: SignedStatement
    spoken: Said | None = None
    receipt: CertifiedStatement | None = None


class ResultReply(Strict):
    """The outcome is durable.

    Attributes:
        duplicate: It was here already.
        receipt: The aggregator's signed `Receipt`.
    """

    duplicate: bool = False
    receipt: CertifiedStatement


class ReceiptsRequest(Strict):
    """Receipts that a site holds, as its agent connects.

    Attributes:
        receipts: The last one of each of the latest runs, and the last that names another member list.
    """

    receipts: tuple[CertifiedStatement, ...] = Field((), max_length=MOST_RECEIPTS)


class ReceiptsReply(Strict):
    """The aggregator's journals have what those receipts name.

    Attributes:
        receipt: A signed `Receipt` of how far the membership has come.
        restored: The last acknowledgement of a restore; see `hanse.core.journal.restores`.
    """

    receipt: CertifiedStatement
    restored: CertifiedStatement | None = None


class ProgressRequest(Strict):
    """A task under way made progress."""

    run_id: str = RunId
    exchange: int = Field(ge=1)


class JournalHeadRequest(Strict):
    """A site's word on the last record of its own journal, as its agent starts.

    Attributes:
        head: The last record; None where the journal is damaged, and cannot say.
        proof: Whether the site's statement is wanted that names the latest record heard of.
    """

    head: JournalHead | None
    proof: bool = False


class JournalHeadReply(Strict):
    """The latest record of the site's journal that the aggregator has heard of.

    Attributes:
        heard: The record; None where the aggregator has heard of none since the site enrolled.
        statement: The site's own signed outcome that names the record, where a proof was asked for.
    """

    heard: JournalHead | None = None
    statement: Statement | None = None
