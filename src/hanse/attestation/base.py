"""Evidence of what a machine runs, its appraisal, and the interface of verifiers (RFC 9334)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol, TypeVar

from hanse.errors import EvidenceError

MAX_QUOTE = 32 * 1024
"""Bytes of a quote or report."""
MAX_LOG = 512 * 1024
"""Bytes of an event log."""
MAX_CERTIFICATES = 8
"""Certificates that come with evidence."""
MAX_PARTS = 16
"""Files that come with evidence, besides its quote."""
FETCH = "Fetch the current collateral and store it."
"""The mend for collateral that is missing, expired or older than what was seen."""


class Kind(StrEnum):
    """Kinds of evidence, by the device that makes it."""

    SGX = "sgx"
    TDX = "tdx"
    SNP = "snp"
    TPM = "tpm"
    GPU = "gpu"


class Tier(IntEnum):
    """Trustworthiness tiers (draft-ietf-rats-ar4si, section 2.3.2); the higher, the worse."""

    NONE = 0
    AFFIRMING = 2
    WARNING = 32
    CONTRAINDICATED = 96


class Aspect(StrEnum):
    """Trustworthiness claims (draft-ietf-rats-ar4si, section 2.3.4)."""

    INSTANCE_IDENTITY = "instance-identity"
    CONFIGURATION = "configuration"
    EXECUTABLES = "executables"
    FILE_SYSTEM = "file-system"
    HARDWARE = "hardware"
    RUNTIME_OPAQUE = "runtime-opaque"
    STORAGE_OPAQUE = "storage-opaque"
    SOURCED_DATA = "sourced-data"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence as it came from a peer or a file; nothing of it is believed yet.

    Attributes:
        kind: The device that is said to have made it.
        quote: The quote or report, as the device writes it.
        certificates: DER certificates that came along, the device's own first.
        parts: What else came along, by name: an event log, a signature, a public area. Each verifier states
            the names that it takes.
    """

    kind: Kind
    quote: bytes
    certificates: tuple[bytes, ...] = ()
    parts: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is larger than any device makes it.

        Raises:
            EvidenceError: A part is too large, or there are too many.
        """
        sizes = {"quote": (len(self.quote), MAX_QUOTE)}
        sizes |= {f"certificate {n + 1}": (len(c), MAX_QUOTE) for n, c in enumerate(self.certificates)}
        sizes |= {name: (len(part), MAX_LOG) for name, part in self.parts.items()}
        for name, (size, most) in sizes.items():
            if size > most:
                raise EvidenceError(f"{self.kind} evidence: its {name} has {size} bytes, more than {most}")
        for what, count, most in (
            ("certificates", len(self.certificates), MAX_CERTIFICATES),
            ("parts", len(self.parts), MAX_PARTS),
        ):
            if count > most:
                raise EvidenceError(f"{self.kind} evidence: it has {count} {what}, more than {most}")


@dataclass(frozen=True, slots=True)
class Check:
    """One component of a machine, held against what a policy expects.

    Attributes:
        component: The component in the words of its specification, such as `MRTD` or `QE identity`.
        aspect: The trustworthiness claim that the component counts for.
        tier: How the component was found.
        expected: The values that the policy accepts, for people.
        seen: The value that the evidence states, for people.
        note: Meaning of what was seen, such as that of a TCB status with its advisories; may be empty.
        mend: What to do about it; empty where the tier is affirming.
    """

    component: str
    aspect: Aspect
    tier: Tier
    expected: str
    seen: str
    note: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Appraisal:
    """Verdict of a verifier about genuine evidence.

    Attributes:
        kind: The kind of the evidence.
        checks: All components, in the order of the policy; not only those that differ.
        measured: Values that the evidence states, hexadecimal or in words, by component: what a person
            copies into a policy.
        machine: Identity of the machine as its kind has it (chip id, PPID, EK); empty where it has none.
        advisories: Published advisories that concern the machine, such as `INTEL-SA-00289`.
        not_proven: What came along and no signature covers, in words.
        expires: When the collateral of this verdict ends; None where nothing expires, and only the nonce
            makes the evidence fresh.
        collateral: Digests (SHA-256, hexadecimal) of the collateral that was used, by name.
    """

    kind: Kind
    checks: tuple[Check, ...]
    measured: Mapping[str, str]
    machine: str = ""
    advisories: tuple[str, ...] = ()
    not_proven: tuple[str, ...] = ()
    expires: datetime | None = None
    collateral: Mapping[str, str] = field(default_factory=dict)

    @property
    def vector(self) -> dict[Aspect, Tier]:
        """The worst tier of each aspect that was checked: an AR4SI trustworthiness vector."""
        found: dict[Aspect, Tier] = {}
        for check in self.checks:
            found[check.aspect] = max(check.tier, found.get(check.aspect, Tier.NONE))
        return found

    @property
    def tier(self) -> Tier:
        """The worst tier of all; `NONE` where nothing was checked."""
        return max((check.tier for check in self.checks), default=Tier.NONE)

    @property
    def differing(self) -> tuple[Check, ...]:
        """Components that are not affirmed, worst first."""
        worse = (check for check in self.checks if check.tier is not Tier.AFFIRMING)
        return tuple(sorted(worse, key=lambda check: -check.tier))


@dataclass(frozen=True, slots=True)
class Floors:
    """Least versions of collateral that a verifier still takes: the highest that it has seen.

    Attributes:
        evaluation: Least `tcbEvaluationDataNumber`, by document and platform, such as
            `tcb-info/tdx/50806f000000`.
        issued: Latest issue date of signed collateral that was seen, by document and platform; older ones
            are refused.
    """

    evaluation: Mapping[str, int] = field(default_factory=dict)
    issued: Mapping[str, datetime] = field(default_factory=dict)

    def check_issued(self, name: str, issued: datetime) -> None:
        """Refuse a document that is older than one that was seen.

        Raises:
            EvidenceError: It is; names the document.
        """
        floor = self.issued.get(name)
        if floor is not None and issued < floor:
            raise EvidenceError(
                f"collateral {name} was issued at {issued:%Y-%m-%d %H:%M}Z, and a later one, of "
                f"{floor:%Y-%m-%d %H:%M}Z, was seen before",
                mend=FETCH,
            )

    def raised(self, evaluation: Mapping[str, int], issued: Mapping[str, datetime]) -> Floors:
        """These floors and others together: the highest of each."""
        numbers, dates = dict(self.evaluation), dict(self.issued)
        for name, number in evaluation.items():
            numbers[name] = max(number, numbers.get(name, number))
        for name, date in issued.items():
            dates[name] = max(date, dates.get(name, date))
        return Floors(numbers, dates)


@dataclass(frozen=True, slots=True)
class CheckedCollateral:
    """Collateral that was checked, and may be stored.

    Attributes:
        documents: The documents by name: all that were given.
        floors: Floors with what these documents have raised.
        expires: Ends of the documents and their signers' certificates, by name.
    """

    documents: Mapping[str, bytes]
    floors: Floors
    expires: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Time, binding and collateral of a verification; nothing is fetched or looked up.

    Attributes:
        at: The time at which to verify, with a zone.
        report_data: What the evidence has to be bound to, exactly: 64 bytes for SGX, TDX and SNP, 32 for
            TPMs and GPUs. See `hanse.attestation.claims`.
        collateral: Documents by name, as the kind's verifier states them: certificate chains, revocation
            lists, TCB information. Each is verified before it is used.
        floors: What earlier verifications have seen.
    """

    at: datetime
    report_data: bytes
    collateral: Mapping[str, bytes] = field(default_factory=dict)
    floors: Floors = field(default_factory=Floors)


P = TypeVar("P", contravariant=True)


class Verifier(Protocol[P]):
    """Verification of one kind of evidence."""

    def appraise(self, evidence: Evidence, policy: P, given: Circumstances) -> Appraisal:
        """Verify evidence and hold it against a policy.

        The order is: certificates, sizes, binding to `given.report_data`, signatures, then event logs; then
        each component that the policy names.

        Returns:
            The verdict. What the policy does not accept is in it as a check that is contraindicated.

        Raises:
            EvidenceError: The evidence or its collateral is malformed, expired, revoked, not signed by what
                it should be, or bound to something else. Names the component, what was expected and what
                was seen.
        """
        ...
