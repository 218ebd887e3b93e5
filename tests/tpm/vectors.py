"""Recorded evidence of software TPMs, with policies that accept it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tests.tpm import templates
from tests.tpm.forge import EVENTS
from tests.tpm.logs import registers_of
from tests.tpm.machine import FILES

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.policy.tpm import TpmPolicy
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.registers import write_registers

FOLDER = Path(__file__).parents[1] / "data" / "attestation" / "swtpm"
TRUSTEE = FOLDER.parent / "trustee-tpm" / "tpm_evidence.json"
_PARTS = ("signature", "ak", "pcrs", "tcg", "ima")


@dataclass(frozen=True)
class Vector:
    """Evidence of a TPM, and the EK that its AK was activated with."""

    evidence: Evidence
    ek: bytes

    @property
    def activated(self) -> Activated:
        return Activated(read_public_area(self.evidence.parts["ak"], "AK").name, self.ek)


@cache
def swtpm(name: str) -> Vector:
    """Evidence that `tests.tpm.record` has recorded, of keys `rsa`, `pss` or `ecc`."""
    folder = FOLDER / name
    certificates = tuple(path.read_bytes() for path in sorted(folder.glob("ek-certificate-*.der")))
    parts = {part: (folder / part).read_bytes() for part in _PARTS}
    evidence = Evidence(Kind.TPM, (folder / "quote").read_bytes(), certificates, parts)
    return Vector(evidence, (folder / "ek").read_bytes())


def image(name: str = "image-1") -> dict[str, Any]:
    """The row of the machine that `tests.tpm.machine` plays."""
    values = {str(number): value.hex() for number, value in registers_of(EVENTS).items()}
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
    reference = {
        "boot_aggregate": digests.pop("boot_aggregate"),
        "files": tuple({"path": path, "sha256": (digest,)} for path, digest in digests.items()),
        "others": "refused",
    }
    return {"name": name, "pcrs": values | {"10": "ima"}, "ima": reference}


def rehearsal(ek: bytes, **other: Any) -> TpmPolicy:
    """A policy for rehearsals that accepts that machine with an EK."""
    table = {
        "rehearsal": True,
        "machines": (hashlib.sha256(ek).hexdigest(),),
        "manufacturers": {"any": "software has no maker"},
        "selection": (4, 7, 10, 11, 12),
        "rows": (image(),),
        "firmware": {"any": "software states what it likes"},
        "clock_safe": True,
    }
    return TpmPolicy.model_validate(table | other)


def trustee() -> tuple[Evidence, bytes]:
    """Evidence of Trustee's, whose AK is a bare key, and its qualifying data, 64 bytes.

    The public area is made here as an AK has it, since the file does not say what the key may do.
    """
    found = json.loads(TRUSTEE.read_text())
    stated = found["tpm_quote"]
    key = load_der_public_key(base64.b64decode(found["ak_public"]))
    assert isinstance(key, rsa.RSAPublicKey)
    quote = base64.b64decode(stated["message"])
    registers = dict(enumerate(bytes.fromhex(value) for value in stated["pcrs"]))
    parts = {
        "signature": base64.b64decode(stated["signature"]),
        "ak": templates.signing_area(key, templates.RSASSA),
        "pcrs": write_registers(registers),
    }
    return Evidence(Kind.TPM, quote, (), parts), quote[44:108]
