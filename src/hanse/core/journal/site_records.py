"""Records of a site's journal: what left the site, and what a person acknowledged about the journal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.sum_records import (
    CellsAgreed,
    FailuresPermitted,
    ReadyReleased,
    RosterAccepted,
    SumPrepared,
)
from hanse.core.values.ask_inputs import StatedInputs
from hanse.core.values.schema import BlobDigest, Digest, Label, Name, Strict
from hanse.core.values.sums.place import SumPlace

STREAM = "site"
"""Name of the one stream of a site's journal."""
MOST_TENSORS = 100
"""Tensors that a record lists; of an update with more, the first in its file."""

_RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
MOST_REASON_CHARS = 4_096
MOST_USER_CHARS = 255
_Reason = Annotated[str, Field(max_length=MOST_REASON_CHARS)]
_SubmittedMs = Annotated[int | None, Field(ge=0, le=2**53)]
_User = Annotated[str, Field(max_length=MOST_USER_CHARS)]


class JournalHead(Strict):
    """A record of a site's journal, by which others can name it.

    Attributes:
        generation: How often the site began a new journal, or acknowledged a restore, before this record.
        sequence: Number of the record.
        digest: Digest of the record, and so of all before it.
    """

    generation: int = Field(ge=0, le=2**31)
    sequence: int = Field(ge=1, le=2**53)
    digest: Digest

    @property
    def place(self) -> tuple[int, int]:
        """Sorts the heads of one site from the earliest to the latest."""
        return self.generation, self.sequence


class DamagedJournal(Strict):
    """A journal in place of which a person had a new one begun.

    Attributes:
        damage: Damage, in words.
        file: Name of the damaged file, kept in the site's folder.
        heard: Latest record of it that the aggregator had heard of; None where that is not known.
        by: User of the operating system who acknowledged the damage.
    """

    damage: _Reason
    file: str = Field(max_length=255)
    heard: JournalHead | None
    by: _User
    reason: _Reason


class SiteJournalBegun(Strict):
    """The first record of a journal.

    Attributes:
        version: Version of Hanse that began it.
        instead_of: The journal that was damaged, where there was one.
    """

    kind: Literal["SiteJournalBegun"] = "SiteJournalBegun"
    federation: Name
    site: Name
    version: str = Field(max_length=64)
    generation: int = Field(0, ge=0, le=2**31)
    instead_of: DamagedJournal | None = None


class PlanAnswerReleased(Strict):
    """The site's answer to the plan of a run was about to leave.

    Attributes:
        submitted_ms: When the run was submitted, milliseconds since 1970, as the aggregator says; None where
            that is not known. Two runs of one name differ by it.
        by: Who decided: a rule of the policy, or a person.
        signer: Fingerprint of the site's signing key; None before 0.2.
    """

    kind: Literal["PlanAnswerReleased"] = "PlanAnswerReleased"
    run_id: _RunId
    submitted_ms: _SubmittedMs = None
    plan_digest: Digest
    accepted: bool
    reasons: tuple[str, ...] = Field((), max_length=100)
    by: Literal["rule", "person"]
    signer: Digest | None = None


class ReleasedTensor(Strict):
    """A tensor of an update, as it travels."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class ReleasedUpdate(Strict):
    """A file of an update, as it travels.

    Attributes:
        tensors: The first `MOST_TENSORS` of its tensors, in the order of the file.
        more_tensors: Number of tensors beyond those.
    """

    digest: BlobDigest
    size: int = Field(ge=0)
    tensors: tuple[ReleasedTensor, ...] = Field((), max_length=MOST_TENSORS)
    more_tensors: int = Field(0, ge=0)


class ResultReleased(StatedInputs):
    """The result of a task was about to leave.

    Attributes:
        submitted_ms: As in `PlanAnswerReleased`.
        roster: Digest of the roster that the result repeats; see `hanse.core.values.roster`.
        secure_sum: Where a masked vector belongs, which then is `update`; None of other results.
    """

    kind: Literal["ResultReleased"] = "ResultReleased"
    run_id: _RunId
    submitted_ms: _SubmittedMs = None
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None
    num_examples: int = Field(ge=0)
    metrics: dict[Label, float | None] = Field(default_factory=dict, max_length=100)
    update: ReleasedUpdate | None = None
    roster: Digest | None = None
    secure_sum: SumPlace | None = None


class FailureReleased(StatedInputs):
    """Word of a failed task was about to leave, with as much text as the site permits.

    Attributes:
        submitted_ms: As in `PlanAnswerReleased`.
        roster: As in `ResultReleased`.
        of_data: Whether the data may have been the reason; said of tasks that are summed masked only.
    """

    kind: Literal["FailureReleased"] = "FailureReleased"
    run_id: _RunId
    submitted_ms: _SubmittedMs = None
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None
    reason: _Reason
    log_tail: str = Field("", max_length=8_192)
    roster: Digest | None = None
    of_data: bool = False


class ReleaseRecovered(StatedInputs):
    """A release that the journal lacked, by an outcome that the site had signed and kept in the run's folder.

    So an exchange stays counted where the journal was damaged or restored from a backup, and where an
    agent of 0.1 answered it, which kept no journal.

    Attributes:
        outcome: What the site had stated: `done`, or `failed`.
    """

    kind: Literal["ReleaseRecovered"] = "ReleaseRecovered"
    run_id: _RunId
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None
    outcome: Literal["done", "failed"]


class RestoreAcknowledged(Strict):
    """A person acknowledged that records are missing: the journal was restored from a backup, or replaced.

    Attributes:
        heard: Latest record that the aggregator had heard of.
        own: The last record before this one.
        by: User of the operating system who acknowledged it.
        generation: Of the records from this one on.
    """

    kind: Literal["RestoreAcknowledged"] = "RestoreAcknowledged"
    heard: JournalHead
    own: JournalHead
    by: _User
    reason: _Reason
    generation: int = Field(ge=1, le=2**31)


class AggregatorRestoreAcknowledged(Strict):
    """A person acknowledged that the aggregator was restored from a backup.

    Attributes:
        record: Record of the restore in the federation's membership.
        operator: Operator who acknowledged it there; None where the aggregator had no statement to show.
        signing_key: Fingerprint of the operator's signing key.
        stated: The operator's reason.
        by: User of the operating system who acknowledged it here.
    """

    kind: Literal["AggregatorRestoreAcknowledged"] = "AggregatorRestoreAcknowledged"
    record: ChainHead
    operator: Name | None
    signing_key: Digest | None
    stated: _Reason
    by: _User
    reason: _Reason


class ContradictionAcknowledged(Strict):
    """A person acknowledged that the aggregator signed two receipts which contradict each other.

    Attributes:
        stream: Journal of the record that they name: a run's id, or `federation` for the membership.
        sequence: Number of the record.
        digests: Digests of the record, as the earlier and the later receipt name them.
        folder: Folder of the site in which the receipts are kept.
        by: User of the operating system who acknowledged it.
    """

    kind: Literal["ContradictionAcknowledged"] = "ContradictionAcknowledged"
    stream: str = Field(max_length=100)
    sequence: int = Field(ge=1)
    digests: tuple[Digest, Digest]
    folder: str = Field(max_length=255)
    by: _User
    reason: _Reason


Release = PlanAnswerReleased | ResultReleased | FailureReleased
ExchangeRecord = ResultReleased | FailureReleased | ReleaseRecovered | SumPrepared
"""Records by each of which an exchange counts as one in which the site was asked."""
Acknowledged = RestoreAcknowledged | AggregatorRestoreAcknowledged | ContradictionAcknowledged
SumRecord = SumPrepared | ReadyReleased | RosterAccepted | CellsAgreed | FailuresPermitted
"""Records of masked sums."""
AttestationRecord = AggregatorAppraised | EvidenceReleased
"""Records of evidence."""
SiteRecord = SiteJournalBegun | Release | ReleaseRecovered | Acknowledged | SumRecord | AttestationRecord

_ANY: TypeAdapter[SiteRecord] = TypeAdapter(Annotated[SiteRecord, Field(discriminator="kind")])


def site_record_body(record: SiteRecord) -> dict[str, Any]:
    """The record as the journal keeps it, without its kind."""
    return record.model_dump(mode="json", exclude={"kind"})


def read_site_record(kind: str, body: dict[str, Any]) -> SiteRecord:
    """Read a record of a site's journal.

    Raises:
        ValueError: This version knows no such record, or not with such a body.
    """
    return _ANY.validate_python({"kind": kind, **body})
