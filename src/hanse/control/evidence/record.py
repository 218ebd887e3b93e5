"""Evidence of this machine, made for a person who tries its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hanse.attestation.attesters.base import Attester, log_digest
from hanse.attestation.attesters.binding import SIZES
from hanse.attestation.base import Evidence
from hanse.attestation.claims import report_data
from hanse.attestation.tpm.activation import SECRET_BYTES, challenge, check_answer
from hanse.control.evidence.files import read_claims
from hanse.core.values.canonical import sha256
from hanse.errors import EvidenceError


@dataclass(frozen=True, slots=True)
class Recorded:
    """Evidence of this machine.

    Attributes:
        evidence: The evidence.
        bound_to: What it is bound to.
        ek: Public area of the EK with which the key of the evidence was activated; empty but for a TPM.
    """

    evidence: Evidence
    bound_to: bytes
    ek: bytes = b""

    @property
    def machine(self) -> str:
        """Identity of the TPM as policies name it; empty for other kinds."""
        return sha256(self.ek) if self.ek else ""


def record(attester: Attester, bound_to: bytes | None, randomness: Callable[[int], bytes]) -> Recorded:
    """Make evidence, and of a TPM activate its key here.

    Args:
        attester: The device.
        bound_to: What to bind it to; random bytes if None.
        randomness: Of the operating system.

    Raises:
        EvidenceError: The device fails, or `bound_to` is not as long as the device states it.
    """
    data = randomness(SIZES[attester.kind]) if bound_to is None else bound_to
    keys = attester.keys()
    if keys is None:
        return Recorded(attester.evidence(data), data)
    asked = challenge(
        bytes.fromhex(keys.ek),
        bytes.fromhex(keys.ak),
        randomness(SECRET_BYTES),
        randomness(SECRET_BYTES),
    )
    activated = check_answer(asked, attester.activate(asked.credential.to_file()))
    return Recorded(attester.evidence(data), data, activated.ek)


def claimed(path: Path, attester: Attester) -> bytes:
    """Read claims, and give what an attester has to bind evidence to.

    Raises:
        ConfigError: The file cannot be read.
        EvidenceError: It is malformed, or the claims name another event log than the attester's.
    """
    claims = read_claims(path)
    if claims.log != log_digest(attester):
        raise EvidenceError(
            f"claims in {path}: they name the event log {claims.log or 'none'}, and this machine has "
            f"{log_digest(attester) or 'none'}"
        )
    return report_data(claims, attester.kind)
