"""A TPM in the tests' hands, which states whatever a test has it state, and policies that accept it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.tpm import templates
from tests.tpm.logs import BOOT_APPLICATION, IPL, Event, registers_of

from hanse.attestation.base import Appraisal, Check, Circumstances, Evidence, Kind
from hanse.attestation.policy.tpm import TpmPolicy
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.algorithms import sized
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.quote import Started
from hanse.attestation.tpm.registers import write_registers
from hanse.attestation.tpm.verifier import TpmVerifier

AT = datetime(2026, 12, 1, tzinfo=UTC)
NONCE = hashlib.sha256(b"claims").digest()
EVENTS: tuple[Event, ...] = (
    (4, BOOT_APPLICATION, b"image 1"),
    (7, IPL, b"Secure Boot is on"),
    (11, IPL, b".linux"),
    (11, IPL, b".cmdline roothash=1"),
    (12, IPL, b"no overrides"),
)
"""What the firmware of the machine has measured."""
_HASHES: dict[int, hashes.HashAlgorithm] = {0x0B: hashes.SHA256(), 0x0C: hashes.SHA384()}


@cache
def curve_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key, the same for a name each time."""
    return ec.derive_private_key(
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:31], "big"), ec.SECP256R1()
    )


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Tpm:
    """A TPM, and the machine around it."""

    registers: Mapping[int, bytes] = field(default_factory=lambda: registers_of(EVENTS))
    ak: Any = field(default_factory=lambda: curve_key("AK"))
    ek: Any = field(default_factory=lambda: curve_key("EK"))
    scheme: int = templates.ECDSA
    digest: int = 0x0B
    attributes: int = templates.AK_ATTRIBUTES
    magic: int = 0xFF544347
    kind: int = 0x8018
    bank: int = 0x0B
    started: Started = Started(5, 0)  # noqa: RUF009  frozen
    safe: int = 1
    firmware: bytes = bytes.fromhex("0007000200000000")

    @property
    def ak_area(self) -> bytes:
        return templates.signing_area(self.ak.public_key(), self.scheme, self.attributes, self.digest)

    @property
    def ek_area(self) -> bytes:
        return templates.endorsing_area(self.ek.public_key())

    @property
    def activated(self) -> Activated:
        return Activated(read_public_area(self.ak_area, "AK").name, self.ek_area)

    @property
    def machine(self) -> str:
        return hashlib.sha256(self.ek_area).hexdigest()

    def attest(self, qualifying: bytes = NONCE) -> bytes:
        """The TPMS_ATTEST."""
        state = hashes.Hash(_HASHES[self.digest])
        state.update(b"".join(self.registers[number] for number in sorted(self.registers)))
        chosen = sum(1 << number for number in self.registers)
        return (
            struct.pack(">IH", self.magic, self.kind)
            + sized(b"\0\x0b" + bytes(32))
            + sized(qualifying)
            + struct.pack(">QIIB", 1234, self.started.resets, self.started.restarts, self.safe)
            + self.firmware
            + struct.pack(">IHB", 1, self.bank, 3)
            + chosen.to_bytes(3, "little")
            + sized(state.finalize())
        )

    def sign(self, data: bytes) -> bytes:
        """The TPMT_SIGNATURE."""
        head, algorithm = struct.pack(">HH", self.scheme, self.digest), _HASHES[self.digest]
        if self.scheme == templates.ECDSA:
            r, s = decode_dss_signature(self.ak.sign(data, ec.ECDSA(algorithm)))
            return head + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))
        if self.scheme == templates.RSASSA:
            return head + sized(self.ak.sign(data, padding.PKCS1v15(), algorithm))
        pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        return head + sized(self.ak.sign(data, pss, algorithm))

    def evidence(self, qualifying: bytes = NONCE, **parts: bytes) -> Evidence:
        quote = self.attest(qualifying)
        own = {
            "signature": self.sign(quote),
            "ak": self.ak_area,
            "pcrs": write_registers(self.registers),
        }
        return Evidence(Kind.TPM, quote, (), own | parts)


def row(name: str, registers: Mapping[int, bytes], **other: Any) -> dict[str, Any]:
    """A row of a policy, as its file has it."""
    values = {str(number): value.hex() for number, value in registers.items()}
    return {"name": name, "pcrs": values, "ima": "none"} | other


def policy(tpm: Tpm, **other: Any) -> TpmPolicy:
    """A policy that accepts a TPM, but for what a test has it say otherwise."""
    table = {
        "rehearsal": False,
        "machines": (tpm.machine,),
        "manufacturers": {"any": "the key is pinned by hand"},
        "selection": tuple(sorted(tpm.registers)),
        "rows": (row("image-1", tpm.registers),),
        "firmware": (tpm.firmware.hex(),),
        "clock_safe": True,
    }
    return TpmPolicy.model_validate(table | other)


def given(qualifying: bytes = NONCE, **collateral: bytes) -> Circumstances:
    return Circumstances(AT, qualifying, collateral)


def appraise(tpm: Tpm, rules: TpmPolicy | None = None, evidence: Evidence | None = None) -> Appraisal:
    """The verdict about a TPM whose AK was activated."""
    return TpmVerifier(tpm.activated).appraise(evidence or tpm.evidence(), rules or policy(tpm), given())


def component(appraisal: Appraisal, name: str) -> Check:
    """The line of a verdict about a component."""
    (found,) = [check for check in appraisal.checks if check.component == name]
    return found
