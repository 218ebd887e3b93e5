"""Evidence from files appraised again: for the recorded time with the recorded collateral, and for today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Check as Component
from hanse.attestation.base import Circumstances, Evidence, Tier
from hanse.attestation.claims import report_data
from hanse.attestation.evidence_file import read_evidence
from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.policy.tpm import TpmPolicy
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.verifier import AK, TpmVerifier, hold_against, verify_quote
from hanse.control.evidence.files import Collateral, log_of
from hanse.control.evidence.side_files import SideFiles
from hanse.control.evidence_report import (
    ACTIVATION,
    APPRAISAL,
    WITHOUT_FILES,
    WITHOUT_TODAY,
    Appraised,
    EvidenceReport,
)
from hanse.control.report import AuditReport, Check
from hanse.core.values.canonical import sha256
from hanse.core.values.wording import and_more, named
from hanse.errors import EvidenceError, HanseError

DENY = "deny"
"""Name under which a verdict has the digest of the verifier's own list of what it denies."""
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Result of an appraisal.

    Attributes:
        vector: Worst tier of each aspect.
        differing: Components that are not affirmed.
        expires: When its collateral ends; None where nothing does.
        whole: Whether it is known whose key signed; False of a TPM whose EK is not at hand.
    """

    vector: Mapping[str, int]
    differing: tuple[str, ...]
    expires: datetime | None
    whole: bool

    @property
    def accepts(self) -> bool:
        """True where a policy accepts the machine."""
        return bool(self.vector) and all(
            tier in (Tier.AFFIRMING, Tier.WARNING) for tier in self.vector.values()
        )


@dataclass(frozen=True, slots=True)
class GivenFiles:
    """Files that an auditor has beside the journal.

    Attributes:
        side: Evidence and collateral that was used.
        eks: Public areas of EKs, got from the people who pinned them.
        today: Documents of now, and floors; None for none.
        now: The present time.
        verifiers: The verifier of each kind.
    """

    side: SideFiles
    eks: Sequence[bytes]
    today: Collateral | None
    now: datetime
    verifiers: Verifiers


def check_appraisals(report: AuditReport, given: GivenFiles) -> None:
    """Add to a report whether evidence gives the recorded verdicts, and what it gives today.

    Raises:
        StorageError: A file cannot be read.
    """
    evidence = report.evidence
    if evidence is None:
        return
    _Appraisals(report, evidence, given).run()


def read_eks(paths: Sequence[Path]) -> tuple[bytes, ...]:
    """Read public areas of EKs, as `tpm2_createek --public` and such tools write them.

    Raises:
        ConfigError: A file cannot be read.
        EvidenceError: It is not the public area of an EK.
    """
    from hanse.control.evidence.files import read_ek

    return tuple(read_ek(path) for path in paths)


class _Appraisals:
    """Appraises all evidence of a report again."""

    def __init__(self, report: AuditReport, evidence: EvidenceReport, given: GivenFiles) -> None:
        self._report, self._evidence, self._given = report, evidence, given
        self._check = report.checks[APPRAISAL] = Check(APPRAISAL)
        self._unactivated: set[str] = set()

    def run(self) -> None:
        """Go through all appraisals."""
        latest = {(each.by, each.claims.instance): each for each in self._evidence.appraised}
        for each in self._evidence.appraised:
            self._again(each)
            if self._given.today is not None and latest[each.by, each.claims.instance] is each:
                self._today(each, self._given.today)
        self._conclude()

    def _again(self, each: Appraised) -> None:
        documents, missing = self._given.side.collateral(_documents_of(each))
        if missing:
            each.standing, each.why = "not proved", f"no file of the collateral {named(missing)}"
            return
        try:
            opened = self._opened(each)
            if isinstance(opened, str):
                each.standing, each.why = "not proved", opened
                return
            found = self._appraised(each, *opened, Collateral(documents), _time(each.verdict.at_ms))
            problem = _difference(each, found)
        except HanseError as error:
            problem = f"it was accepted, and is not: {error.message}" if each.verdict.accepted else ""
        each.standing, each.why = ("differs", problem) if problem else ("as recorded", "")
        if not problem:
            return
        if each.verdict.accepted:
            self._check.fail(f"{each.what}: {problem}")
        else:
            self._evidence.remarks.append(f"{each.what}: {problem}")

    def _today(self, each: Appraised, today: Collateral) -> None:
        """Appraise with the collateral of today; what only the recorded documents have is taken from them."""
        if not each.verdict.accepted:
            return
        documents, _ = self._given.side.collateral(_documents_of(each))
        collateral = Collateral({**documents, **today.documents}, today.floors)
        try:
            opened = self._opened(each)
            if isinstance(opened, str):
                each.today = f"not appraised: {opened}"
                return
            found = self._appraised(each, *opened, collateral, self._given.now)
        except HanseError as error:
            each.today, each.passes_today = f"does not pass: {error.message}", False
            return
        each.passes_today = found.accepts
        if found.accepts:
            worse = f" with warnings: {named(found.differing)}" if found.differing else ""
            each.today = f"passes{worse}"
        else:
            each.today = f"does not pass: {named(found.differing)}"

    def _opened(self, each: Appraised) -> tuple[Evidence, AppraisalPolicy] | str:
        """Evidence and policy of an appraisal, or which of them is not at hand."""
        policy = self._evidence.policies.get(each.claims.policy)
        if policy is None:
            return f"no policy {each.claims.policy[:12]} in the plan's folder"
        data = self._given.side.evidence(each.verdict.evidence)
        if data is None:
            return f"no file of the evidence {each.verdict.evidence[:12]}"
        if each.claims.devices:
            return "it comes with evidence of GPUs, which is not appraised here"
        evidence = read_evidence(data)
        if evidence.kind != each.verdict.kind:
            raise EvidenceError(f"it is {evidence.kind.upper()} evidence")
        if (seen := log_of(evidence)) != each.claims.log:
            raise EvidenceError(
                f"its event log is {seen or 'none'}, and its claims name {each.claims.log or 'none'}"
            )
        return evidence, policy

    def _appraised(
        self,
        each: Appraised,
        evidence: Evidence,
        policy: AppraisalPolicy,
        collateral: Collateral,
        at: datetime,
    ) -> Found:
        given = Circumstances(
            at, report_data(each.claims, evidence.kind), collateral.documents, collateral.floors
        )
        verifiers = self._given.verifiers
        section = policy.section(evidence.kind)
        if isinstance(section, TpmPolicy):
            self._unactivated.add(each.party)
            known = self._known_tpm(evidence, section)
            if known is None:
                quoted = verify_quote(evidence, given.report_data)
                return _found(hold_against(section, quoted, evidence, given).checks, None, whole=False)
            verifiers = Verifiers(tpm=known)
        appraisal = appraise(evidence, policy, given, rehearsal=each.claims.rehearsal, verifiers=verifiers)
        return _found(appraisal.checks, appraisal.expires, whole=True)

    def _known_tpm(self, evidence: Evidence, policy: TpmPolicy) -> TpmVerifier | None:
        """A verifier that takes a given EK of the policy for that of the AK; None where none is given."""
        pinned = [ek for ek in self._given.eks if sha256(read_public_area(ek, "EK").data) in policy.machines]
        if len(pinned) != 1 or AK not in evidence.parts:
            return None
        return TpmVerifier(Activated(read_public_area(evidence.parts[AK], "AK").name, pinned[0]))

    def _conclude(self) -> None:
        report, appraised = self._report, self._evidence.appraised
        unproved = [
            f"{each.what}: {each.why}"
            for each in appraised
            if each.standing == "not proved" and each.verdict.accepted
        ]
        listed = "; ".join(and_more(unproved, _MOST_NAMED))
        lines = [f"that these verdicts are right: {listed}"] if unproved else []
        if self._unactivated:
            lines.append(ACTIVATION.format(sites=named(sorted(self._unactivated), _MOST_NAMED)))
        place = report.not_proved.index(WITHOUT_FILES)
        report.not_proved[place : place + 1] = lines
        if self._given.today is not None:
            report.not_proved.remove(WITHOUT_TODAY)
        if self._given.side.altered:
            files = named(self._given.side.altered, _MOST_NAMED)
            self._evidence.remarks.append(f"files that are not what their names say do not count: {files}")


def _documents_of(each: Appraised) -> dict[str, str]:
    """Digests of documents of makers, by name; the verifier's own list of what it denies is not one."""
    return {name: digest for name, digest in each.verdict.collateral.items() if name != DENY}


def _time(time_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise EvidenceError(f"{time_ms} ms after 1970 cannot be the time of an appraisal") from None


def _found(checks: Sequence[Component], expires: datetime | None, *, whole: bool) -> Found:
    vector: dict[str, int] = {}
    for check in checks:
        vector[check.aspect.value] = max(int(check.tier), vector.get(check.aspect.value, 0))
    worse = sorted((check for check in checks if check.tier is not Tier.AFFIRMING), key=lambda c: -c.tier)
    return Found(vector, tuple(check.component for check in worse), expires, whole)


def _difference(each: Appraised, found: Found) -> str:
    """Say how a verdict of now differs from the recorded one; empty where it does not."""
    verdict = each.verdict
    if not verdict.accepted:
        deny = DENY in verdict.collateral
        passes = found.accepts and found.whole and not deny
        return f"it was refused ({verdict.reason}), and passes by itself" if passes else ""
    if not found.accepts:
        return f"it was accepted, and does not pass: {named(found.differing)}"
    recorded = {name: tier for name, tier in verdict.vector.items() if found.whole or name in found.vector}
    # What is not known of a TPM's EK can only make an aspect worse.
    worse = [
        name
        for name in sorted({*recorded, *found.vector})
        if (recorded.get(name) != found.vector.get(name) if found.whole else _less(recorded, found, name))
    ]
    if worse:
        return f"the recorded vector has other tiers of {named(worse)}"
    ends_ms = None if found.expires is None else int(found.expires.timestamp() * 1000)
    if ends_ms is not None and verdict.expires_ms > ends_ms:
        return "its verdict was said to count for longer than its collateral does"
    return ""


def _less(recorded: Mapping[str, int], found: Found, name: str) -> bool:
    return recorded.get(name, 0) < found.vector.get(name, 0)
