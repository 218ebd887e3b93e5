"""An auditor's report: what was checked of a journal, and each site's account."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hanse.control.evidence_report import EVIDENCE_CLAIMS, EvidenceReport
from hanse.core.run.attendance import Participation
from hanse.core.run.sums.events import SumOpened
from hanse.wire.messages.runs import ExchangeAttendance
from hanse.wire.wording import format_absent

MOST_PROBLEMS = 20
"""Problems that are kept of each check; more are counted."""

CLAIMS = {
    "authority": "the journal is of the federation whose authority vouches for its signatures",
    "chain": "no record is missing, altered, added or out of order",
    "seal": "the federation's aggregator signed the last record, so that nothing was cut off",
    "plan": "the plan is the one that its digest names",
    "history": "the events can have happened in this order",
    "statements": "every answer and every result was signed by its site and says what the journal says",
    "roster": "each site saw the same signing keys of all sites, those with which they answered the plan",
    "consent": "only sites that had accepted the plan were asked, and only what it declares was taken",
    "limits": "no sum was of fewer sites than the plan says, and no site was asked more often than it says",
    "results": "rounds, metrics and the end of the run follow from the results that were accepted",
}
"""What each check of a journal proves, in the order of the checks."""
MODEL = "model"
"""The check of a model beside its journal, see `hanse.control.audit.check_model`."""
ROSTER = "roster"
SIGNERS = "signers"
"""The check of signing keys against an auditor's own list, see `hanse.control.signing_keys`."""
RECEIPTS = "receipts"
"""The check of a journal against receipts of sites, see `hanse.control.receipts.check_receipts`."""
SUMS = "sums"
"""The check of masked sums, of a plan that has any; see `hanse.control.sums`."""
_ADDED = EVIDENCE_CLAIMS | {
    SUMS: "each masked sum is over a whole cell, of vectors that its members signed for one roster",
    MODEL: "the file is the model that the run ended with, or its best one",
    SIGNERS: "each statement of a listed site was signed with a key that the list has for the site",
    RECEIPTS: "the journal has every record and every outcome that the aggregator signed to these sites",
}
"""Claims of the checks that are made on request, or for some plans only."""
WITHOUT_RECEIPTS = (
    "that the aggregator has no other journal of this run, recorded every outcome that it confirmed to a "
    "site, cut off no records at the end and changed no times: for that, add --receipts, with the receipts "
    "that the sites keep"
)

WITHOUT_RECEIPTS_OF_BEFORE = (
    "that the aggregator has no other journal of this run, recorded every outcome that sites sent, cut off "
    "no records at the end and changed no times: sites keep receipts since 0.2 only"
)


@dataclass(slots=True)
class Check:
    """One check of a journal.

    Attributes:
        name: Key of `CLAIMS`, `MODEL`, `SIGNERS`, `RECEIPTS`, `SUMS`, or of `EVIDENCE_CLAIMS`.
        problems: What speaks against its claim, a line each.
        count: How many problems there are, those left out included.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    count: int = 0

    @property
    def claim(self) -> str:
        """What is proved where there is no problem."""
        return CLAIMS.get(self.name) or _ADDED[self.name]

    def fail(self, problem: str) -> None:
        """Note a problem."""
        self.count += 1
        if self.count <= MOST_PROBLEMS:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class ReportedAnswer:
    """A site's answer to the plan."""

    accepted: bool
    reasons: tuple[str, ...]
    time_ms: int


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What left a site in one exchange.

    Attributes:
        metrics: Names of the metrics; of one that is not defined there, with the word that it was not given.
        update: Digest of the update's file; None where none was sent.
        update_bytes: Its size, as the site signed it.
        masked: Whether the update is a masked vector, with metrics and number of examples in it.
    """

    round_number: int
    exchange: int
    task: str
    time_ms: int
    num_examples: int
    metrics: tuple[str, ...]
    update: str | None
    update_bytes: int
    masked: bool = False


@dataclass(frozen=True, slots=True)
class InSum:
    """A masked sum that a site was in.

    Attributes:
        cell: Name of the cell.
        members: Members of the cell, the site included.
        attempt: Number of the attempt that opened; as many were begun.
        rho: Digest of the roster of that attempt.
    """

    round_number: int
    exchange: int
    task: str
    time_ms: int
    cell: str
    members: tuple[str, ...]
    attempt: int
    rho: str


@dataclass(frozen=True, slots=True)
class ReportedSum(InSum):
    """A masked sum of a run.

    Attributes:
        reasons: Why each attempt before did not end.
        masked: Digest of the vector of each member.
        sum: Digest of the file of the sum.
        num_examples: Sum of the numbers of examples; None where it was not summed.
        error: Largest standard error of a number, relative to its bound; None where there is none.
        added: Whether the vectors were at hand and were added again.
        clipped: Number of sites whose update was clipped to the plan's bound; None where not summed.
        out_of_range: Number of sites of which another number was cut to its range; None where not summed.
    """

    reasons: tuple[str, ...]
    masked: dict[str, str]
    sum: str
    num_examples: int | None
    error: float | None
    added: bool = False
    clipped: int | None = None
    out_of_range: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that failed at a site; its reason and log left the site too."""

    round_number: int
    exchange: int
    task: str
    time_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Missed:
    """An exchange that went on without a site that was asked.

    Attributes:
        how: `it had fallen silent`, ...
    """

    round_number: int
    exchange: int
    task: str
    time_ms: int
    how: str


@dataclass(frozen=True, slots=True)
class Sparing:
    """What was done about a site that had failed again and again.

    Attributes:
        told: `suspended: it failed in 3 rounds in a row, ...`
    """

    time_ms: int
    told: str


@dataclass(frozen=True, slots=True)
class ReportedRestore:
    """A restore of the aggregator from a backup, as the journal names it and an operator signed it.

    Attributes:
        time_ms: Time of the record that names it, milliseconds since 1970.
        signing_key: Fingerprint of the operator's signing key.
        listed: Whether the auditor's list of signers has that key for the operator.
        lost: The record by which it was noticed, in a sentence.
        own: Number and digest of the last record of this run's journal then; None where it was noticed by
            another journal, or there was none.
        acknowledged_ms: When the operator signed, milliseconds since 1970.
        named_by: Number of the record in this run's journal that names it.
        sequence: Number of the record `Restored` in the membership.
        digest: Digest of that record.
    """

    time_ms: int
    operator: str
    signing_key: str
    reason: str
    lost: str
    sequence: int
    digest: str
    acknowledged_ms: int
    named_by: int
    own: tuple[int, str] | None = None
    listed: bool = False


@dataclass(slots=True)
class UsedReceipts:
    """Receipts that a journal was held against.

    Attributes:
        counted: Number of receipts of this run, by site.
        remarks: Receipts that do not count, and what a restore explains, in sentences.
    """

    counted: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """One site's part in a run.

    Attributes:
        signed_with: Fingerprints of the signing keys with which it signed.
        sums: Masked sums that it was in.
        attempts: Number of READYs that it stated, one for each attempt at a masked sum.
    """

    signed_with: list[str] = field(default_factory=list)
    answers: list[ReportedAnswer] = field(default_factory=list)
    disclosed: list[Disclosed] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    sparing: list[Sparing] = field(default_factory=list)
    sums: list[InSum] = field(default_factory=list)
    attempts: int = 0


@dataclass(slots=True)
class AuditReport:
    """What a journal says, and how far it is proved.

    Attributes:
        federation: Name of the federation.
        run_id: The run.
        authority: Fingerprint of the authority by which signatures were judged.
        authority_given: Whether it came from elsewhere than the journal. Where not, the journal is
            only proved to be of one piece: whoever made it may have made the authority too.
        checks: The verdicts.
        sites: Each site's part, by name.
        plan_name: Name of the plan.
        plan_digest: Digest of the plan.
        phase: How far the run is.
        rounds: Rounds committed.
        models: Digests of the last model that was committed, and of the best.
        exchanges: Who took part in each exchange that has closed, and with how much data; see
            `participation_json`.
        records: Records read.
        sealed_by: The aggregator's URI.
        sealed_ms: When it sealed the journal.
        restores: Restores of the aggregator that the journal names.
        receipts: Receipts that it was held against; None for none.
        notes: Remarks that speak against no claim.
        sums: Masked sums, in the order of the journal.
        evidence: Evidence of what the parties ran; None where the plan asks for none.
        not_proved: What the checks cannot show without further files, in words: `that ...`.
    """

    federation: str
    run_id: str
    authority: str
    authority_given: bool
    checks: dict[str, Check] = field(default_factory=lambda: {name: Check(name) for name in CLAIMS})
    sites: dict[str, Account] = field(default_factory=dict)
    plan_name: str = ""
    plan_digest: str = ""
    phase: str = ""
    rounds: int = 0
    models: tuple[str, ...] = ()
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0
    sealed_by: str = ""
    sealed_ms: int = 0
    not_proved: list[str] = field(default_factory=lambda: [WITHOUT_RECEIPTS])
    restores: list[ReportedRestore] = field(default_factory=list)
    receipts: UsedReceipts | None = None
    notes: list[str] = field(default_factory=list)
    sums: list[ReportedSum] = field(default_factory=list)
    evidence: EvidenceReport | None = None

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks with a problem; none where the journal is what it claims to be."""
        return tuple(check for check in self.checks.values() if check.count)

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        checks = {
            check.name: {"holds": not check.count, "claim": check.claim, "problems": check.problems}
            for check in self.checks.values()
        }
        return {
            "verified": not self.failed,
            **asdict(replace(self, evidence=None)),
            "evidence": None if self.evidence is None else self.evidence.as_json(),
            "checks": checks,
        }


def note_sum(exchange: dict[str, Any], event: SumOpened) -> None:
    """Add a masked sum to the JSON object of its exchange: how many sites are in it, and had to cut numbers.

    Args:
        exchange: The object; see `participation_json`.
        event: The sum.
    """
    exchange.setdefault("sums", {})[event.cell] = {
        "sites": len(event.masked),
        "num_examples": event.num_examples,
        "clipped": event.clipped,
        "out_of_range": event.out_of_range,
    }


def participation_json(found: Participation) -> dict[str, Any]:
    """Sites that took part in a closed exchange, all of them, as a JSON object; `told` is a sentence."""
    attendance = ExchangeAttendance.of(found)
    written = attendance.model_dump(mode="json")
    number = written.pop("round_number")
    named = {"asked": list(found.asked), "answered": list(found.answered)}
    return {**written, "round": number, **named, "told": format_absent(attendance)}
