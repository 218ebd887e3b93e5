"""Appraisal of what a peer shows: claims from what was asked, policies, deny list, and the verdict."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Appraisal, Circumstances, Evidence, Kind
from hanse.attestation.claims import report_data
from hanse.attestation.evidence_file import read_evidence, write_evidence
from hanse.attestation.instance import Occasion
from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.tpm.activation import SECRET_BYTES, Activated, Challenge, challenge, check_answer
from hanse.attestation.tpm.quote import Started, read_quote
from hanse.control.appraisal.deny_list import DenyList
from hanse.control.appraisal.kept_evidence import keep_evidence
from hanse.control.appraisal.verdicts import refusal, refused, verdict_of, with_checks
from hanse.control.evidence.files import Collateral, load_collateral
from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.core.values.evidence.verdict import Verdict
from hanse.core.values.schema import problem_of
from hanse.errors import ConfigError, EvidenceError, HanseError, PolicyError, StorageError, TamperedError
from hanse.wire.messages.evidence import Shown

_LOGS = ("event-log", "tcg")
"""Parts that are the log of the firmware: of TDX, and of TPMs."""
_UNFIT = (ConfigError, EvidenceError, PolicyError, TamperedError)
"""Errors that refuse evidence; a disk that fails does not, and is tried again."""


@dataclass(frozen=True, slots=True)
class Question:
    """Question of a verifier to a party.

    Attributes:
        occasion: What the evidence has to be shown for, with the nonce.
        challenge: Activation of the keys of a TPM; None for other devices.
    """

    occasion: Occasion
    challenge: Challenge | None = None

    @property
    def credential(self) -> str:
        """The challenge as it is sent, base64; empty for none."""
        return credential_of(self.challenge)


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of an appraisal.

    Attributes:
        claims: What the evidence is bound to.
        verdicts: One a policy, in their order.
        appraisal: What the verifier found by the first policy; None where the evidence is not genuine.
        started: Counters of a TPM; None for other devices.
    """

    claims: Claims
    verdicts: tuple[Verdict, ...]
    appraisal: Appraisal | None = None
    started: Started | None = None

    @property
    def accepted(self) -> bool:
        """True if all policies accept the instance."""
        return all(verdict.accepted for verdict in self.verdicts)

    @property
    def expires_ms(self) -> int:
        """When the first verdict ends."""
        return min(verdict.expires_ms for verdict in self.verdicts)

    @property
    def reason(self) -> str:
        """Why the instance is not accepted; empty where it is."""
        return next((verdict.reason for verdict in self.verdicts if not verdict.accepted), "")


@dataclass(frozen=True, slots=True)
class Appraiser:
    """Appraises for one party. Methods may block: they are called on a thread.

    Attributes:
        folder: `attestation` in the party's folder.
        collateral: Folder of collateral; may be missing.
        rehearsal: Whether the party's own settings permit that software plays a device.
        deny: The party's deny list.
        clock: The time, with its zone.
        randomness: Of the operating system.
        verifiers: Verifiers with their roots.
    """

    folder: Path
    collateral: Path
    rehearsal: bool
    deny: DenyList
    clock: Callable[[], datetime]
    randomness: Callable[[int], bytes]
    verifiers: Verifiers = field(default_factory=Verifiers)

    def question(self, occasion: Occasion, keys: DeviceKeys | None) -> Question:
        """The question to a party.

        Args:
            occasion: What the evidence is for.
            keys: Keys of the party's device, as the party states them; None for a device without.

        Raises:
            EvidenceError: They are not keys of a TPM.
        """
        return Question(occasion, self.challenge(keys))

    def challenge(self, keys: DeviceKeys | None) -> Challenge | None:
        """Activation of a party's keys; None for a device without.

        Raises:
            EvidenceError: They are not keys of a TPM.
        """
        if keys is None:
            return None
        secret, seed = self.randomness(SECRET_BYTES), self.randomness(SECRET_BYTES)
        return challenge(bytes.fromhex(keys.ek), bytes.fromhex(keys.ak), secret, seed)

    def appraise(
        self,
        question: Question,
        shown: Shown,
        policies: Sequence[AppraisalPolicy],
        valid_for_s: float,
        started: Started | None = None,
    ) -> Finding:
        """Verify what a party shows, and hold it against policies.

        Args:
            question: What was asked.
            shown: What the party shows; nothing of it is believed yet.
            policies: All have to accept it; the first is the one that the claims name.
            valid_for_s: How long the verdict counts.
            started: Counters of the TPM, where this instance was appraised before.

        Raises:
            EvidenceError: It is not evidence at all, so that there is nothing to record.
            StorageError: The disk fails.
        """
        subject = _subject(question, shown, started)
        found = [self._by_policy(subject, policy, valid_for_s) for policy in policies]
        first, used = found[0].appraisal, {name: data for each in found for name, data in each.used.items()}
        keep_evidence(self.folder, subject.written, used.values())
        of_tpm = first is not None and subject.evidence.kind is Kind.TPM
        counters = read_quote(subject.evidence.quote).started if of_tpm else None
        return Finding(subject.claims, tuple(each.verdict for each in found), first, counters)

    def denied(self, appraisal: Appraisal) -> str:
        """Why the deny list as it stands refuses a machine that was accepted; empty where it does not."""
        try:
            checks = self.deny.read().checks(appraisal)
        except StorageError as error:
            return words_of(error)
        return refusal(replace(appraisal, checks=checks)) if checks else ""

    def _by_policy(self, subject: _Subject, policy: AppraisalPolicy, valid_for_s: float) -> _Held:
        at, digest = self.clock(), sha256(subject.written)
        deny: str | None = None
        try:
            denied = self.deny.read()
            deny = denied.digest
            given = self._circumstances(subject, at)
            found = self._appraisal(subject, policy, given)
            found = with_checks(found, denied.checks(found))
            verdict = verdict_of(
                *(found, policy.digest, digest),
                at=at,
                valid_for_s=valid_for_s,
                deny=deny,
            )
            used = {name: given.collateral[name] for name in found.collateral if name in given.collateral}
            return _Held(verdict, found, used)
        except _UNFIT as error:
            kind = subject.evidence.kind
            return _Held(refused(kind, words_of(error), policy.digest, digest, at=at, deny=deny))

    def _appraisal(self, subject: _Subject, policy: AppraisalPolicy, given: Circumstances) -> Appraisal:
        rehearsal = subject.question.occasion.rehearsal
        if policy.gpu is not None:
            raise PolicyError("the policy has a section `gpu`, and evidence of GPUs does not travel yet")
        if policy.rehearsal and not rehearsal:
            raise PolicyError("the policy is for a rehearsal, and the plan does not say `rehearsal: true`")
        verifiers = self.verifiers
        if subject.evidence.kind is Kind.TPM:
            tpm = replace(verifiers.tpm, activated=subject.activated(), started=subject.started)
            verifiers = replace(verifiers, tpm=tpm)
        may = self.rehearsal and rehearsal
        return appraise(subject.evidence, policy, given, rehearsal=may, verifiers=verifiers)

    def _circumstances(self, subject: _Subject, at: datetime) -> Circumstances:
        there = self.collateral.is_dir()
        collateral = load_collateral([self.collateral]) if there else Collateral({})
        bound = report_data(subject.claims, subject.evidence.kind)
        return Circumstances(at, bound, collateral.documents, collateral.floors)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Evidence that is appraised, with what it has to be bound to."""

    question: Question
    shown: Shown
    evidence: Evidence
    written: bytes
    claims: Claims
    started: Started | None

    def activated(self) -> Activated | None:
        """The activation of a TPM's keys, if the party has answered the challenge."""
        if self.question.challenge is None:
            return None
        try:
            answer = base64.b64decode(self.shown.activation, validate=True)
        except (ValueError, binascii.Error):
            answer = b""
        return check_answer(self.question.challenge, answer)


@dataclass(frozen=True, slots=True)
class _Held:
    """Result by one policy."""

    verdict: Verdict
    appraisal: Appraisal | None = None
    used: Mapping[str, bytes] = field(default_factory=dict)


def _subject(question: Question, shown: Shown, started: Started | None) -> _Subject:
    """Evidence as it was shown, and the claims that it has to be bound to."""
    occasion = question.occasion
    if not shown.evidence:
        raise EvidenceError(f"{occasion.name} shows no evidence", mend="Name its device in its settings.")
    if shown.devices:
        raise EvidenceError("evidence of GPUs is named, and does not travel yet")
    evidence = read_evidence(shown.evidence.encode("utf-8", "replace"))
    log = next((evidence.parts[name] for name in _LOGS if name in evidence.parts), None)
    seen = "" if log is None else sha256(log)
    if shown.log != seen:
        raise EvidenceError(
            f"the evidence names the event log {shown.log or 'none'}, and comes with {seen or 'none'}"
        )
    try:
        claims = occasion.claims(shown.seal, shown.speak, shown.log, shown.devices)
    except ValidationError as error:
        raise EvidenceError(f"claims: {problem_of(error)}") from None
    return _Subject(question, shown, evidence, write_evidence(evidence), claims, started)


def credential_of(asked: Challenge | None) -> str:
    """A challenge as it is sent, base64; empty for none."""
    return "" if asked is None else base64.b64encode(asked.credential.to_file()).decode("ascii")


def words_of(error: HanseError) -> str:
    """An error with its mend, as a reason that a verdict states."""
    return f"{error.message}. {error.mend}" if error.mend else error.message
