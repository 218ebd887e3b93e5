"""Recorded evidence of software TPMs gets the verdict of a rehearsal, and no other."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import pytest
from tests.tpm.forge import AT, NONCE, component, given
from tests.tpm.vectors import rehearsal, swtpm, trustee

from hanse.attestation.base import Circumstances, Tier
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.quote import read_quote
from hanse.attestation.tpm.registers import check_registers, read_registers
from hanse.attestation.tpm.signature import check_signature, read_signature
from hanse.attestation.tpm.verifier import TpmVerifier, verify_quote
from hanse.errors import EvidenceError

NAMES = ["rsa", "pss", "ecc"]


@pytest.mark.parametrize("name", NAMES)
def test_a_software_tpm_is_accepted_in_a_rehearsal(name: str) -> None:
    vector = swtpm(name)

    appraisal = TpmVerifier(vector.activated).appraise(vector.evidence, rehearsal(vector.ek), given())

    assert appraisal.tier is Tier.WARNING
    assert {check.component for check in appraisal.differing} == {
        "TPM implementation",
        "confidentiality of memory",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_software_tpm_is_not_accepted_otherwise(name: str) -> None:
    vector = swtpm(name)

    appraisal = TpmVerifier(vector.activated).appraise(
        vector.evidence, rehearsal(vector.ek, rehearsal=False), given()
    )

    assert component(appraisal, "TPM implementation").tier is Tier.CONTRAINDICATED


@pytest.mark.parametrize("part", ["quote", "signature", "ak", "pcrs", "ima"])
@pytest.mark.parametrize("name", NAMES)
def test_every_byte_that_is_covered_counts(name: str, part: str) -> None:
    vector, rules = swtpm(name), rehearsal(swtpm(name).ek)
    evidence = replace(vector.evidence, certificates=())
    whole = evidence.quote if part == "quote" else evidence.parts[part]

    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        other = (
            replace(evidence, quote=changed)
            if part == "quote"
            else replace(evidence, parts={**evidence.parts, part: changed})
        )
        with pytest.raises(EvidenceError):
            TpmVerifier(vector.activated).appraise(other, rules, given())


def test_a_quote_is_fresh_by_its_nonce_alone() -> None:
    vector = swtpm("ecc")
    later = Circumstances(AT.replace(year=2099), NONCE)

    appraisal = TpmVerifier(vector.activated).appraise(vector.evidence, rehearsal(vector.ek), later)

    assert appraisal.expires is None
    assert appraisal.tier is Tier.WARNING


def test_a_quote_is_verified_in_less_than_10_ms() -> None:
    vector, rules = swtpm("ecc"), rehearsal(swtpm("ecc").ek)
    times = []
    for _ in range(20):
        begin = time.process_time()
        TpmVerifier(vector.activated).appraise(vector.evidence, rules, given())
        times.append(time.process_time() - begin)

    assert min(times) < 0.01


def test_the_signature_of_trustee_s_tpm_is_valid() -> None:
    evidence, _ = trustee()
    quote, signature = read_quote(evidence.quote), read_signature(evidence.parts["signature"])

    check_signature(signature, evidence.quote, read_public_area(evidence.parts["ak"], "AK"))
    check_registers(read_registers(evidence.parts["pcrs"]), quote, signature.hash)
    assert quote.firmware.hex() == "2019102300163636"


def test_a_changed_byte_of_trustee_s_quote_is_refused() -> None:
    evidence, _ = trustee()
    area = read_public_area(evidence.parts["ak"], "AK")
    signature = read_signature(evidence.parts["signature"])

    for place in range(len(evidence.quote)):
        changed = evidence.quote[:place] + bytes([evidence.quote[place] ^ 1]) + evidence.quote[place + 1 :]
        with pytest.raises(EvidenceError):
            check_signature(signature, changed, area)


def test_trustee_s_quote_is_refused_for_its_binding() -> None:
    evidence, qualifying = trustee()

    with pytest.raises(EvidenceError, match="is to be bound to 64 bytes, not 32"):
        verify_quote(evidence, qualifying)
    with pytest.raises(EvidenceError, match="its qualifying data is a04182"):
        verify_quote(evidence, NONCE)


def test_the_registers_of_trustee_s_tpm_are_worth_nothing() -> None:
    evidence, _ = trustee()
    values = read_registers(evidence.parts["pcrs"])

    assert {number for number, value in values.items() if not any(value)} == {*range(17), 23}
    assert hashlib.sha256(b"".join(values.values())).digest() == read_quote(evidence.quote).digest
