"""Findings on evidence: what was appraised in a run, by which party, and what an appraisal gives now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hanse.core.plan.evidence.section import Attestation
from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.verdict import Verdict

if TYPE_CHECKING:  # takes long to import, and timelines need none of it
    from hanse.attestation.policy.file import AppraisalPolicy

EVIDENCE = "evidence"
"""The check of evidence in a journal, of a plan that asks for any; see `hanse.control.evidence.audit`."""
APPRAISAL = "appraisal"
"""The check of evidence in files, see `hanse.control.evidence.audit_appraisals`."""
AGGREGATOR = "aggregator"
"""The check of the journals of sites, see `hanse.control.evidence.audit_sites`."""
EVIDENCE_CLAIMS = {
    EVIDENCE: "only instances whose evidence had been accepted answered, signed it, and got keys",
    APPRAISAL: "the evidence gives the recorded verdicts, if the recorded times are true",
    AGGREGATOR: "these sites had accepted the aggregator's instance before a result left, and showed theirs",
}
"""Claims of these checks, proved where there is no problem."""

WITHOUT_PLAN = (
    "that the policies and the owner are those of the plan, which the journal names by digest only: for "
    "that, add --plan, with the folder of the plan's files"
)
WITHOUT_FILES = (
    "that evidence was genuine and as the policies say: the journal has the verdicts of who appraised it. "
    "For that, add --plan, and --evidence with the aggregator's folder or a copy of its `attestation`"
)
WITHOUT_SITES = (
    "that the sites had accepted evidence of the aggregator: their own journals say so. For that, add "
    "--evidence with the folder of each site"
)
WITHOUT_TODAY = (
    "that nothing was revoked or has got out of date since: for that, add --collateral with today's documents"
)
FORGED = (
    "that no key was taken out of a device: evidence that was forged with one passes every check, and a "
    "person with the machine in hand can do that"
)
ACTIVATION = (
    "that a TPM holds the keys that signed ({sites}): a verifier knows this from an activation that proves "
    "nothing to others, so that you have the verifier's word"
)

Standing = Literal["", "as recorded", "differs", "not proved"]


@dataclass(slots=True)
class Appraised:
    """One appraisal, as a journal has it.

    Attributes:
        record: Number of the record, in the run's journal or in a site's.
        time_ms: Time of the record, milliseconds since 1970.
        party: The party that showed the evidence.
        by: The site that appraised it; empty for the aggregator.
        claims: What the evidence is bound to.
        verdict: The verdict of then.
        standing: The verdict of an appraisal with the recorded collateral for the recorded time.
        why: Why it is not proved, or how it differs.
        today: The verdict with the collateral of the auditor, in words; empty where it was not asked for.
        passes_today: Whether that verdict accepts; None where it was not asked for.
    """

    record: int
    time_ms: int
    party: str
    by: str
    claims: Claims
    verdict: Verdict
    standing: Standing = ""
    why: str = ""
    today: str = ""
    passes_today: bool | None = None

    @property
    def what(self) -> str:
        """The evidence, for messages."""
        source = f"journal of {self.by}, record" if self.by else "record"
        return f"{source} {self.record}: {self.verdict.kind.upper()} evidence of {self.party}"

    def as_json(self) -> dict[str, Any]:
        """The appraisal for scripts."""
        return {
            "record": self.record,
            "time_ms": self.time_ms,
            "party": self.party,
            "by": self.by,
            "instance": self.claims.instance,
            "rehearsal": self.claims.rehearsal,
            "verdict": self.verdict.model_dump(mode="json"),
            "standing": self.standing,
            "why": self.why,
            "today": self.today,
            "passes_today": self.passes_today,
        }


@dataclass(slots=True)
class EvidenceReport:
    """Evidence in a run whose plan asks for any.

    Attributes:
        instances: Names of the instances of the aggregator, in the order of their starts.
        appraised: All appraisals, in the order of the journals.
        released: The instance of each site that has the keys of sealed files.
        rehearsal: Whether software may have played the devices.
        rules: The section of the plan; None where nothing was submitted yet.
        policies: Policies of the plan's folder, by digest.
        policy_of_aggregator: Digest of the plan's policy for the aggregator; None where it is not at hand.
        remarks: What is worth to know and speaks against no claim, in sentences.
    """

    instances: list[str] = field(default_factory=list)
    appraised: list[Appraised] = field(default_factory=list)
    released: dict[str, str] = field(default_factory=dict)
    rehearsal: bool = False
    rules: Attestation | None = None
    policies: dict[str, AppraisalPolicy] = field(default_factory=dict)
    policy_of_aggregator: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def fallen(self) -> tuple[Appraised, ...]:
        """Accepted appraisals that the collateral of today refuses."""
        return tuple(found for found in self.appraised if found.passes_today is False)

    def as_json(self) -> dict[str, Any]:
        """The findings for scripts."""
        return {
            "instances": self.instances,
            "appraised": [found.as_json() for found in self.appraised],
            "released": self.released,
            "rehearsal": self.rehearsal,
            "policies": sorted(self.policies),
            "remarks": self.remarks,
        }
