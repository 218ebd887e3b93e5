"""A quote counts if a TPM made it, for this verifier, by a key that never was outside of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.tpm import templates
from tests.tpm.forge import NONCE, Tpm, appraise, curve_key, given, policy, rsa_key

from hanse.attestation.base import Evidence, Kind, Tier
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.algorithms import sized
from hanse.attestation.tpm.registers import write_registers
from hanse.attestation.tpm.verifier import TpmVerifier, verify_quote
from hanse.errors import EvidenceError

TPM = Tpm()


def test_evidence_that_the_policy_accepts_is_affirmed_but_for_its_memory() -> None:
    appraisal = appraise(TPM)

    assert [check.component for check in appraisal.differing] == ["confidentiality of memory"]
    assert appraisal.tier is Tier.WARNING


@pytest.mark.parametrize(
    "tpm",
    [
        Tpm(ak=rsa_key(), scheme=templates.RSASSA),
        Tpm(ak=rsa_key(), scheme=templates.RSAPSS),
        Tpm(ak=rsa_key(), scheme=templates.RSASSA, digest=0x0C),
        Tpm(ek=rsa_key()),
    ],
    ids=["RSASSA", "RSAPSS", "SHA-384", "RSA EK"],
)
def test_every_scheme_is_verified(tpm: Tpm) -> None:
    assert appraise(tpm).tier is Tier.WARNING


def test_a_public_area_may_have_its_size_before_it() -> None:
    evidence = TPM.evidence(ak=sized(TPM.ak_area))

    assert verify_quote(evidence, NONCE).ak.data == TPM.ak_area


@pytest.mark.parametrize("part", ["quote", "signature", "ak", "pcrs"])
def test_evidence_with_a_byte_changed_is_refused(part: str) -> None:
    evidence, rules = TPM.evidence(), policy(TPM)
    whole = evidence.quote if part == "quote" else evidence.parts[part]
    verifier = TpmVerifier(TPM.activated)

    for place in range(len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            changed = whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
            other = (
                replace(evidence, quote=changed)
                if part == "quote"
                else replace(evidence, parts={**evidence.parts, part: changed})
            )
            with pytest.raises(EvidenceError):
                verifier.appraise(other, rules, given())


def test_a_quote_for_another_nonce_is_refused() -> None:
    with pytest.raises(EvidenceError, match="qualifying data is 00"):
        appraise(TPM, evidence=TPM.evidence(bytes(32)))


def test_a_quote_cannot_be_bound_to_more_than_32_bytes() -> None:
    with pytest.raises(EvidenceError, match="bound to 64 bytes, not 32"):
        verify_quote(TPM.evidence(bytes(64)), bytes(64))


def test_words_that_a_tpm_did_not_make_are_refused() -> None:
    with pytest.raises(EvidenceError, match="a TPM did not make it"):
        appraise(replace(TPM, magic=0xFF544348))


def test_another_statement_of_a_tpm_is_not_a_quote() -> None:
    with pytest.raises(EvidenceError, match="it is a certified key, not a quote"):
        appraise(replace(TPM, kind=0x8017))


def test_a_key_that_was_not_activated_is_refused() -> None:
    with pytest.raises(EvidenceError, match="was not activated with an EK, and none was"):
        TpmVerifier(None).appraise(TPM.evidence(), policy(TPM), given())


def test_another_key_than_the_activated_one_is_refused() -> None:
    other = replace(TPM, ak=curve_key("another AK"))

    with pytest.raises(EvidenceError, match="was not activated with an EK"):
        TpmVerifier(TPM.activated).appraise(other.evidence(), policy(TPM), given())


def test_a_signature_of_another_key_is_refused() -> None:
    other = replace(TPM, ak=curve_key("another AK"))

    with pytest.raises(EvidenceError, match="its signature is not that of the AK"):
        appraise(TPM, evidence=TPM.evidence(signature=other.sign(TPM.attest())))


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (templates.AK_ATTRIBUTES & ~(1 << 16), "lack restricted"),
        (templates.AK_ATTRIBUTES & ~(1 << 18), "lack sign"),
        (templates.AK_ATTRIBUTES & ~(1 << 1), "lack fixedTPM"),
        (templates.AK_ATTRIBUTES & ~(1 << 4), "lack fixedParent"),
        (templates.AK_ATTRIBUTES & ~(1 << 5), "lack sensitiveDataOrigin"),
        (templates.AK_ATTRIBUTES | 1 << 17, "have decrypt"),
        (templates.AK_ATTRIBUTES | 1 << 19, "have x509sign"),
        (templates.AK_ATTRIBUTES | 1 << 11, "have encryptedDuplication"),
        (templates.AK_ATTRIBUTES | 1 << 30, "bits that are reserved"),
    ],
)
def test_a_key_that_could_sign_something_else_is_refused(attributes: int, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        verify_quote(replace(TPM, attributes=attributes).evidence(), NONCE)


def test_a_scheme_that_the_key_is_not_bound_to_is_refused() -> None:
    tpm = Tpm(ak=rsa_key(), scheme=templates.RSASSA)
    signature = replace(tpm, scheme=templates.RSAPSS).sign(tpm.attest())

    with pytest.raises(EvidenceError, match="signed by RSAPSS with SHA-256, and its AK is bound to RSASSA"):
        verify_quote(tpm.evidence(signature=signature), NONCE)


def test_values_of_other_registers_than_those_quoted_are_refused() -> None:
    values = dict(TPM.registers)
    del values[12]

    with pytest.raises(EvidenceError, match="of PCR 4, 7, 11, and the quote selects PCR 4, 7, 11, 12"):
        appraise(TPM, evidence=TPM.evidence(pcrs=write_registers(values)))


def test_values_that_lead_to_another_digest_are_refused() -> None:
    values = dict(TPM.registers) | {11: bytes(32)}

    with pytest.raises(EvidenceError, match="their digest is"):
        appraise(TPM, evidence=TPM.evidence(pcrs=write_registers(values)))


def test_values_out_of_order_are_refused() -> None:
    written = write_registers(TPM.registers)

    with pytest.raises(EvidenceError, match="PCR 4 after PCR 7"):
        appraise(TPM, evidence=TPM.evidence(pcrs=written[33:66] + written[:33] + written[66:]))


def test_a_bank_of_sha1_is_refused() -> None:
    with pytest.raises(EvidenceError, match="its bank is SHA-1, and SHA-256 alone"):
        appraise(replace(TPM, bank=0x04))


def test_a_safe_flag_that_is_neither_is_refused() -> None:
    with pytest.raises(EvidenceError, match="safe flag is 2"):
        appraise(replace(TPM, safe=2))


def test_bytes_after_the_end_are_refused() -> None:
    evidence = TPM.evidence()

    with pytest.raises(EvidenceError, match="after its end"):
        verify_quote(replace(evidence, quote=evidence.quote + b"\0"), NONCE)


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(EvidenceError, match="no part ak, pcrs, signature"):
        verify_quote(Evidence(Kind.TPM, TPM.attest()), NONCE)


def test_a_part_that_is_not_known_is_refused() -> None:
    with pytest.raises(EvidenceError, match="'more' is not known"):
        verify_quote(TPM.evidence(more=b""), NONCE)


def test_evidence_of_another_kind_is_refused() -> None:
    with pytest.raises(EvidenceError, match="of the kind snp"):
        verify_quote(Evidence(Kind.SNP, b""), NONCE)


def test_an_endorsement_key_that_signs_is_refused() -> None:
    with pytest.raises(EvidenceError, match="EK: its attributes lack decrypt"):
        Activated(b"", TPM.ak_area)


@pytest.mark.parametrize("part", ["quote", "signature", "ak", "pcrs"])
def test_a_part_of_any_size_is_refused(part: str) -> None:
    evidence = TPM.evidence()
    for size in (0, 1, 5, 30_000):
        other = (
            replace(evidence, quote=b"\xff" * size)
            if part == "quote"
            else replace(evidence, parts={**evidence.parts, part: b"\x01" * size})
        )
        with pytest.raises(EvidenceError):
            verify_quote(other, NONCE)
