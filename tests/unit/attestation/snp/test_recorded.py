"""Recorded reports of AMD's machines get the verdict that they should have."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given as vary
from hypothesis import settings
from hypothesis import strategies as st
from tests.snp.vectors import (
    AZURE,
    COLLATERAL,
    FILES,
    NAMES,
    ROW,
    given,
    levels,
    policy,
    product,
    recorded,
)
from tests.thorough import examples

from hanse.attestation.base import Evidence, Kind, Tier
from hanse.attestation.snp.report import SIGNED
from hanse.attestation.snp.roots import AMD_ROOTS_SHA256, amd_roots
from hanse.attestation.snp.verifier import SnpVerifier
from hanse.errors import EvidenceError

VERIFIER = SnpVerifier()


def differing(name: str, **others: object) -> dict[str, Tier]:
    """Components of a recorded machine that a policy does not affirm."""
    evidence = recorded(name)
    found = VERIFIER.appraise(evidence, policy(**others), given(evidence))
    return {check.component: check.tier for check in found.differing}


def refusal(evidence: Evidence, **others: object) -> str:
    """Words that a verifier refuses evidence with."""
    with pytest.raises(EvidenceError) as refused:
        VERIFIER.appraise(evidence, policy(), given(evidence, **others))
    return str(refused.value)


def test_the_pinned_roots_are_those_whose_digests_are_published() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256

    digests = {line: root.fingerprint(SHA256()).hex() for line, root in amd_roots().items()}

    assert digests == AMD_ROOTS_SHA256


def test_the_pinned_roots_sign_themselves() -> None:
    for root in amd_roots().values():
        root.verify_directly_issued_by(root)


@pytest.mark.parametrize("name", ["virtee-sev", "trustee", AZURE])
def test_a_machine_of_milan_that_is_accepted_by_name_is_a_warning(name: str) -> None:
    assert differing(name) == {"product": Tier.WARNING}


def test_a_report_of_version_3_states_its_processor() -> None:
    evidence = recorded(AZURE)
    measured = VERIFIER.appraise(evidence, policy(), given(evidence)).measured

    assert measured["processor"] == "family 0x19, model 0x1, stepping 1"
    assert measured["current firmware"] == "1.55.29"
    assert measured["PLATFORM_INFO ALIAS_CHECK_COMPLETE"] == "set"


def test_a_guest_that_can_be_debugged_is_refused() -> None:
    assert differing("go-sev-guest")["POLICY DEBUG"] is Tier.CONTRAINDICATED


@pytest.mark.parametrize("name", NAMES)
def test_milan_is_refused_where_no_policy_names_it(name: str) -> None:
    found = differing(name, products=[product("Genoa"), product("Turin")])

    assert found["product"] is Tier.CONTRAINDICATED


def test_the_chip_of_a_machine_is_its_identity() -> None:
    evidence = recorded("virtee-sev")
    chip = evidence.quote[0x1A0:0x1E0].hex()

    found = VERIFIER.appraise(evidence, policy(machines=[chip]), given(evidence))

    assert found.machine == chip
    assert found.tier is Tier.WARNING


def test_a_machine_that_the_policy_does_not_name_is_refused() -> None:
    assert differing("virtee-sev", machines=["00" * 64])["CHIP_ID"] is Tier.CONTRAINDICATED


def test_a_verdict_ends_with_the_certificate_and_names_its_collateral() -> None:
    evidence = recorded("virtee-sev")
    found = VERIFIER.appraise(evidence, policy(), given(evidence))

    assert found.expires == datetime(2030, 4, 3, 19, 23, 43, tzinfo=UTC)
    assert found.collateral == {name: hashlib.sha256(data).hexdigest() for name, data in COLLATERAL.items()}


def test_the_legacy_certificate_is_refused() -> None:
    data = (FILES / "trustee/test-vcek-invalid-legacy.der").read_bytes()

    assert "was not issued by CN=SEV-Milan" in refusal(replace(recorded("trustee"), certificates=(data,)))


def test_the_certificate_of_another_machine_is_refused() -> None:
    other = recorded("trustee").certificates

    assert "it is of the chip" in refusal(replace(recorded("virtee-sev"), certificates=other))


@pytest.mark.parametrize("year", [2019, 2031])
def test_a_certificate_counts_only_in_its_time(year: int) -> None:
    assert "is valid from" in refusal(recorded("virtee-sev"), at=datetime(year, 1, 1, tzinfo=UTC))


def test_a_report_that_is_bound_to_something_else_is_refused() -> None:
    assert "should be 0000" in refusal(recorded("virtee-sev"), report_data=bytes(64))


def test_the_issuer_has_to_be_there() -> None:
    assert "as the collateral amd/vcek/Milan/cert_chain" in refusal(recorded("virtee-sev"), collateral={})


def test_the_certificate_can_be_collateral() -> None:
    evidence = recorded("virtee-sev")
    chip, tcb = evidence.quote[0x1A0:0x1E0].hex(), evidence.quote[0x180:0x188].hex()
    documents = COLLATERAL | {f"amd/vcek/Milan/{chip}/{tcb}": evidence.certificates[0]}
    bare = replace(evidence, certificates=())

    found = VERIFIER.appraise(bare, policy(), given(bare, collateral=documents))

    assert found.machine == chip
    assert "the certificate of its VCEK is missing" in refusal(bare)


@pytest.mark.parametrize("name", NAMES)
def test_a_flip_of_any_byte_is_refused(name: str) -> None:
    evidence = recorded(name)
    circumstances = given(evidence)
    for at in range(len(evidence.quote)):
        changed = bytearray(evidence.quote)
        changed[at] ^= 1 << at % 8
        with pytest.raises(EvidenceError):
            VERIFIER.appraise(replace(evidence, quote=bytes(changed)), policy(), circumstances)


@settings(max_examples=examples(60), deadline=None)
@vary(data=st.binary(max_size=SIGNED * 2), at=st.integers(0, 1184))
def test_other_bytes_are_refused_in_words(data: bytes, at: int) -> None:
    report = recorded("virtee-sev").quote
    changed = report[:at] + data + report[at + len(data) :]
    if changed.rstrip(b"\0") != report.rstrip(b"\0"):
        evidence = replace(recorded("virtee-sev"), quote=changed)
        with pytest.raises(EvidenceError):
            VERIFIER.appraise(evidence, policy(), given(evidence))


def test_zeros_may_follow_a_report_and_text_may_not() -> None:
    evidence = recorded("virtee-sev")
    padded = replace(evidence, quote=evidence.quote + bytes(64))

    VERIFIER.appraise(padded, policy(), given(padded))

    assert "are not padding" in refusal(replace(evidence, quote=evidence.quote + b"text"))


@pytest.mark.parametrize("length", [0, 3, 0x100, 1183])
def test_a_report_that_is_cut_off_is_refused(length: int) -> None:
    evidence = recorded("virtee-sev")

    assert "SNP report: its" in refusal(
        replace(evidence, quote=evidence.quote[:length]), report_data=bytes(64)
    )


def test_evidence_of_another_kind_is_refused() -> None:
    assert "is not SNP evidence" in refusal(Evidence(Kind.TPM, b""))


def test_levels_below_the_policy_are_refused_and_named() -> None:
    least = product("Milan", least_committed=levels(snp=9))
    evidence = recorded("virtee-sev")

    found = VERIFIER.appraise(evidence, policy(products=[least]), given(evidence))

    (check,) = (check for check in found.differing if check.component == "COMMITTED_TCB")
    assert check.expected == "bootloader 0, tee 0, snp 9, microcode 0 or more"
    assert check.seen == "bootloader 3, tee 0, snp 8, microcode 115"
    assert check.note == "Behind: snp."


def test_values_of_two_images_are_not_mixed() -> None:
    report = recorded("trustee").quote
    measurement, id_key = report[0x90:0xC0].hex(), report[0xE0:0x110].hex()
    first = ROW | {"name": "first", "measurement": measurement, "id_key_digest": "11" * 48, "guest_svn": 9}
    second = ROW | {"name": "second", "measurement": "22" * 48, "id_key_digest": id_key, "guest_svn": 4}
    evidence = recorded("trustee")

    found = VERIFIER.appraise(evidence, policy(rows=[first, second]), given(evidence))

    (check,) = (check for check in found.differing if check.component == "MEASUREMENT")
    assert "of the row 'first': values of two images are mixed" in check.note
