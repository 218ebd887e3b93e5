"""Decoders of what a TPM states, of its keys and certificates, and of the kernel's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.fuzz.target import Target
from tests.tpm.forge import given
from tests.tpm.logs import kernel_binary, kernel_text
from tests.tpm.machine import FILES
from tests.tpm.vectors import rehearsal, swtpm

from hanse.attestation.base import Evidence
from hanse.attestation.tpm.activation import Credential, make_credential
from hanse.attestation.tpm.ima import read_ima_log
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.quote import read_quote
from hanse.attestation.tpm.registers import read_registers, write_registers
from hanse.attestation.tpm.signature import read_signature
from hanse.attestation.tpm.verifier import TpmVerifier

_NAMES = ("rsa", "pss", "ecc")


def appraise(changed: Callable[[Evidence, bytes], Evidence]) -> Callable[[bytes], None]:
    """Verification of recorded evidence of which one part is the input."""

    def run(data: bytes) -> None:
        vector = swtpm("rsa")
        evidence = changed(vector.evidence, data)
        TpmVerifier(vector.activated).appraise(evidence, rehearsal(vector.ek), given())

    return run


def part(name: str) -> Callable[[bytes], None]:
    return appraise(lambda evidence, data: replace(evidence, parts={**evidence.parts, name: data}))


def recorded(name: str) -> Callable[[], Sequence[bytes]]:
    return lambda: [swtpm(each).evidence.parts[name] for each in _NAMES]


def public_area(data: bytes) -> None:
    area = read_public_area(data, "key")
    assert area.data in data
    assert read_public_area(area.data, "key") == area
    assert len(area.name) in (34, 50, 66)


def registers(data: bytes) -> None:
    assert write_registers(read_registers(data)) == data


def certificate(data: bytes) -> None:
    appraise(lambda evidence, first: replace(evidence, certificates=(first, *evidence.certificates[1:])))(
        data
    )


def credential(data: bytes) -> None:
    assert Credential.from_file(data).to_file() == data


def credentials() -> Sequence[bytes]:
    ak = read_public_area(swtpm("ecc").evidence.parts["ak"], "AK")
    # For a P-256 EK alone: what is encrypted for RSA differs each time.
    return [make_credential(swtpm("ecc").ek, ak.name, b"s" * 32, b"t" * 32).to_file()]


TARGETS = (
    Target("tpm-credential", credential, credentials),
    Target(
        "tpm-quote",
        appraise(lambda evidence, data: replace(evidence, quote=data)),
        lambda: [swtpm("rsa").evidence.quote],
    ),
    Target("tpm-quote-layout", read_quote, lambda: [swtpm(name).evidence.quote for name in _NAMES]),
    Target("tpm-signature", read_signature, recorded("signature")),
    Target("tpm-registers", registers, recorded("pcrs")),
    Target("tpm-public-area", public_area, lambda: [*recorded("ak")(), *(swtpm(name).ek for name in _NAMES)]),
    Target(
        "tpm-endorsement-key",
        lambda data: make_credential(data, bytes(34), bytes(32), bytes(32)),
        lambda: [swtpm("rsa").ek, swtpm("ecc").ek],
    ),
    Target("tpm-endorsement-certificate", certificate, lambda: [swtpm("rsa").evidence.certificates[0]]),
    Target("tpm-firmware-log", part("tcg"), lambda: [swtpm("rsa").evidence.parts["tcg"]]),
    Target("tpm-kernel-log", part("ima"), lambda: [kernel_text(FILES), kernel_binary(FILES)]),
    Target(
        "ima-log",
        read_ima_log,
        lambda: [
            form(FILES, signature) for form in (kernel_text, kernel_binary) for signature in (None, b"x")
        ],
    ),
)
