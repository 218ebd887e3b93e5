"""Reports that are not recorded get their right verdict too: other products, keys, settings and lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.snp.forge import (
    CHIP,
    DATA,
    ONE_HOUR,
    PROCESSORS,
    Forged,
    authority,
    issuer_of,
    key_certificate,
    number,
    revocation_list,
    roots,
)
from tests.snp.vectors import NOW, PLATFORM, given, policy

from hanse.attestation.base import Appraisal, Check, Evidence, Floors, Tier
from hanse.attestation.snp.documents import check_collateral
from hanse.attestation.snp.verifier import SnpVerifier
from hanse.errors import EvidenceError

VLEK = {"vlek": "Example Cloud"}
LIST = "amd/vcek/Genoa/crl"


def appraise(forged: Forged, at: object = NOW, collateral: object = None, **others: object) -> Appraisal:
    """Verdict about a forged report."""
    evidence = forged.evidence()
    circumstances = given(evidence, at=at, report_data=DATA, collateral=collateral or {})
    return SnpVerifier(roots()).appraise(evidence, policy(**others), circumstances)


def found(forged: Forged, component: str, **others: object) -> Check:
    """How a component of a forged report was found."""
    (check,) = (check for check in appraise(forged, **others).checks if check.component == component)
    return check


def refusal(forged: Forged, **others: object) -> str:
    with pytest.raises(EvidenceError) as refused:
        appraise(forged, **others)
    return str(refused.value)


def with_key(forged: Forged, **changed: bytes | None) -> Forged:
    """A forged report whose key's certificate states something else."""
    named = {end.replace("_", ".").strip("x"): value for end, value in changed.items()}
    chain = (
        key_certificate(forged.signer, forged.line, named),
        issuer_of(forged.signer, forged.line).certificate,
    )
    return replace(forged, certificates=tuple(one.public_bytes(Encoding.DER) for one in chain))


@pytest.mark.parametrize("line", ["Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_all_versions_of_other_products_are_affirmed(line: str, version: int) -> None:
    assert appraise(Forged(line, version)).tier is Tier.AFFIRMING


def test_the_levels_of_turin_have_a_layout_of_their_own() -> None:
    check = found(Forged("Turin"), "REPORTED_TCB")

    assert check.seen == "fmc 1, bootloader 2, tee 3, snp 4, microcode 75"


def test_a_chip_id_of_turin_has_8_bytes() -> None:
    assert appraise(Forged("Turin")).machine == (CHIP[:8] + bytes(56)).hex()


@pytest.mark.parametrize("line", PROCESSORS)
def test_a_key_of_a_provider_is_accepted_where_the_policy_names_it(line: str) -> None:
    assert found(Forged(line, signer="VLEK"), "SIGNING_KEY", signer=VLEK).tier is Tier.AFFIRMING


@pytest.mark.parametrize("signer", ["VCEK", {"vlek": "Another Cloud"}])
def test_a_key_of_a_provider_that_the_policy_does_not_name_is_refused(signer: object) -> None:
    check = found(Forged(signer="VLEK"), "SIGNING_KEY", signer=signer)

    assert check.tier is Tier.CONTRAINDICATED
    assert check.seen == "VLEK of Example Cloud"


def test_a_key_of_a_chip_is_refused_where_the_policy_names_a_provider() -> None:
    assert found(Forged(), "SIGNING_KEY", signer=VLEK).tier is Tier.CONTRAINDICATED


def test_a_providers_key_cannot_stand_for_a_chips() -> None:
    provider = Forged(signer="VLEK").evidence().certificates

    assert "its subject is 'SEV-VLEK'" in refusal(Forged(certificates=provider))


def test_a_chips_key_has_to_be_issued_by_the_issuer_of_chips_keys() -> None:
    chain = (key_certificate("VLEK", "Genoa", {"4": CHIP, "5": None}, "SEV-VCEK"), issuer_of("VLEK", "Genoa"))
    certificates = (chain[0].public_bytes(Encoding.DER), chain[1].certificate.public_bytes(Encoding.DER))

    assert "the issuer is 'SEV-VLEK-Genoa'" in refusal(Forged(certificates=certificates))


def test_a_masked_chip_is_known_by_its_key() -> None:
    masked = Forged(fields={0x1A0: bytes(64)})

    assert appraise(masked).machine == CHIP.hex()


def test_a_masked_chip_with_a_providers_key_is_not_known() -> None:
    masked = Forged(signer="VLEK", fields={0x1A0: bytes(64)})

    check = found(masked, "CHIP_ID", signer=VLEK, machines=[CHIP.hex()])

    assert check.tier is Tier.CONTRAINDICATED
    assert check.seen == "masked by the host"
    assert "MASK_CHIP_ID" in check.mend


@pytest.mark.parametrize("at", [0x180, 0x186, 0x187])
def test_a_report_of_another_tcb_than_its_keys_is_refused(at: int) -> None:
    assert "and its certificate is of" in refusal(Forged(fields={at: b"\x7e"}))


@pytest.mark.parametrize("at", [0x38, 0x1E0, 0x1F0])
def test_other_tcbs_may_differ_from_the_keys(at: int) -> None:
    assert appraise(Forged(fields={at: b"\x7e"})).tier is Tier.AFFIRMING


def test_a_report_of_another_chip_is_refused() -> None:
    assert "it is of the chip" in refusal(Forged(fields={0x1A0: b"\xff"}))


def test_a_report_of_another_processor_than_its_keys_is_refused() -> None:
    other = Forged(fields={0x188: PROCESSORS["Milan"]})

    assert "it is of a Milan processor, and its certificate of Genoa-B0" in refusal(other)


def test_a_processor_that_is_not_known_is_refused() -> None:
    assert "family 0x1b, model 0x2" in refusal(Forged(fields={0x188: bytes((0x1B, 2))}))


@pytest.mark.parametrize(
    ("bit", "component", "key"),
    [
        (18, "POLICY MIGRATE_MA", "runtime-opaque"),
        (19, "POLICY DEBUG", "runtime-opaque"),
        (21, "POLICY CXL_ALLOW", "configuration"),
    ],
)
def test_settings_of_the_guest_are_held_against_the_policy(bit: int, component: str, key: str) -> None:
    check = found(Forged(policy=1 << 17 | 1 << bit), component)

    assert (check.tier, check.aspect, check.seen, check.expected) == (
        Tier.CONTRAINDICATED,
        key,
        "set",
        "not set",
    )


@pytest.mark.parametrize("bit", [26, 40, 63])
def test_reserved_settings_of_the_guest_are_refused(bit: int) -> None:
    assert "reserved bits" in refusal(Forged(policy=1 << 17 | 1 << bit))


def test_a_guest_policy_without_its_constant_bit_is_refused() -> None:
    assert "bit 17" in refusal(Forged(policy=0))


def test_reserved_bits_of_the_platform_are_refused() -> None:
    assert "its platform info 0x40 has reserved bits" in refusal(Forged(platform=0x40))


def test_a_machine_whose_memory_was_not_checked_is_named() -> None:
    check = found(Forged(platform=1), "PLATFORM_INFO ALIAS_CHECK_COMPLETE", platform=ALIAS_CHECKED)

    assert check.tier is Tier.CONTRAINDICATED
    assert "BadRAM" in check.note


ALIAS_CHECKED = PLATFORM | {"alias_check": True}


def test_the_abi_version_is_a_least_one() -> None:
    rules = policy().guest_policy.model_dump(mode="json")

    assert found(Forged(), "POLICY ABI", guest_policy=rules | {"least_abi": "1.55"}).tier is Tier.AFFIRMING
    assert (
        found(Forged(), "POLICY ABI", guest_policy=rules | {"least_abi": "1.56"}).tier is Tier.CONTRAINDICATED
    )


@pytest.mark.parametrize(("needed", "tier"), [(3, Tier.AFFIRMING), (4, Tier.CONTRAINDICATED)])
def test_mitigations_have_to_be_there_at_launch_and_now(needed: int, tier: Tier) -> None:
    assert found(Forged(), "mitigation vectors", mitigations=needed).tier is tier


def test_older_reports_do_not_state_mitigations() -> None:
    check = found(Forged(version=3), "mitigation vectors", mitigations=1)

    assert check.tier is Tier.CONTRAINDICATED
    assert check.seen == "not stated in a report of version 3"


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0x00, b"\6", "its version is 6"),
        (0x30, b"\xff\xff\xff\xff", "its VMPL is 4294967295"),
        (0x34, b"\2", "its signature algorithm is 2"),
        (0x48, b"\x1c", "it is not signed"),
        (0x48, b"\x08", "signed with the key 2, which is reserved"),
        (0x48, b"\x20", "reserved bits"),
        (0x48, b"\x02", "MASK_CHIP_KEY"),
        (0x4C, b"\1", "is reserved, and is not zero"),
        (0x18B, b"\1", "is reserved, and is not zero"),
        (0x182, b"\1", "reserved bytes"),
        (0x1EB, b"\1", "is reserved, and is not zero"),
        (0x208, b"\1", "is reserved, and is not zero"),
        (0x29F, b"\1", "is reserved, and is not zero"),
    ],
)
def test_what_the_specification_forbids_is_refused_though_it_is_signed(
    at: int, value: bytes, words: str
) -> None:
    assert words in refusal(Forged(fields={at: value}))


def test_a_report_without_a_signature_is_refused() -> None:
    evidence = Forged().evidence()
    bare = replace(evidence, quote=evidence.quote[:0x2A0] + bytes(512))

    with pytest.raises(EvidenceError, match="its signature is all zeros"):
        SnpVerifier(roots()).appraise(bare, policy(), given(bare))


def test_another_root_is_refused() -> None:
    evidence = Forged().evidence()

    with pytest.raises(EvidenceError, match="was not issued by CN=ARK-Genoa"):
        SnpVerifier().appraise(evidence, policy(), given(evidence))


def test_a_root_that_comes_along_has_to_be_the_pinned_one() -> None:
    evidence = Forged().evidence()
    root = authority("ARK-Genoa").certificate.public_bytes(Encoding.DER)
    whole = Forged(certificates=(*evidence.certificates, root))
    other = Forged(
        certificates=(
            *evidence.certificates,
            authority("ARK-Milan").certificate.public_bytes(Encoding.DER),
        )
    )

    assert appraise(whole).tier is Tier.AFFIRMING
    assert "another root than the pinned ARK-Genoa" in refusal(other)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x3_3": None}, "does not state its level of snp"),
        ({"x3_3": number(15)}, "and its certificate is of"),
        ({"x3_3": b"\2\1\xce"}, "not a number from 0 to 255"),
        ({"x3_3": b"\2\2\0\x0e"}, "not the shortest way"),
        ({"x3_3": b"\4\1\x0e"}, "not a number from 0 to 255"),
        ({"x2": b"\x16\5Venice"[:7]}, "is not known"),
        ({"x2": b"\x0c\5Genoa"}, "not a text"),
        ({"x4": CHIP[:63]}, "its hardware id has 63 bytes"),
        ({"x4": None}, "does not state its hardware id"),
        ({"x5": b"\x16\1a"}, "names a chip and a provider"),
    ],
)
def test_certificates_that_state_something_else_are_refused(
    changed: dict[str, bytes | None], words: str
) -> None:
    assert words in refusal(with_key(Forged(), **changed))


def test_a_hardware_id_may_have_a_tag() -> None:
    assert appraise(with_key(Forged(), x4=b"\4\x40" + CHIP)).tier is Tier.AFFIRMING


@pytest.mark.parametrize("name", ["Bergamo-A1", "Siena-B1", "Genoa"])
def test_other_names_of_genoa_count_as_genoa(name: str) -> None:
    assert (
        appraise(with_key(Forged(), x2=b"\x16" + bytes([len(name)]) + name.encode())).tier is Tier.AFFIRMING
    )


def test_a_revoked_issuer_is_refused() -> None:
    revoked = {LIST: revocation_list("Genoa", (issuer_of("VCEK", "Genoa").certificate,))}

    assert "CN=SEV-Genoa was revoked by its issuer" in refusal(Forged(), collateral=revoked)


def test_a_revocation_list_can_be_required() -> None:
    listed = {LIST: revocation_list("Genoa")}

    assert found(Forged(), "revocation", revocation="required").tier is Tier.CONTRAINDICATED
    assert found(Forged(), "revocation", revocation="required", collateral=listed).tier is Tier.AFFIRMING


def test_a_verdict_ends_with_the_revocation_list() -> None:
    assert appraise(Forged(), collateral={LIST: revocation_list("Genoa")}).expires == NOW + ONE_HOUR


@pytest.mark.parametrize("days", [-1, 1])
def test_a_revocation_list_counts_only_in_its_time(days: int) -> None:
    other = {LIST: revocation_list("Genoa", at=NOW + timedelta(days=days))}

    assert f"collateral {LIST} counts from" in refusal(Forged(), collateral=other)


def test_a_revocation_list_of_another_signer_is_refused() -> None:
    other = {LIST: revocation_list("Genoa", key="SEV-Genoa")}

    assert "is not signed by CN=ARK-Genoa" in refusal(Forged(), collateral=other)


def test_an_older_revocation_list_after_a_newer_one_is_refused() -> None:
    documents = {LIST: revocation_list("Genoa")}
    seen = check_collateral(documents, NOW, Floors(), roots()).floors
    older = {LIST: revocation_list("Genoa", at=NOW - ONE_HOUR / 2)}
    evidence = Forged().evidence()

    assert seen.issued == {LIST: NOW - ONE_HOUR}
    with pytest.raises(EvidenceError, match="was seen before"):
        SnpVerifier(roots()).appraise(evidence, policy(), given(evidence, collateral=older, floors=seen))


def collateral_of(evidence: Evidence) -> dict[str, bytes]:
    """Collateral as the service gives it."""
    issuer, ark = issuer_of("VCEK", "Genoa").certificate, authority("ARK-Genoa").certificate
    chip, tcb = CHIP.hex(), evidence.quote[0x180:0x188].hex()
    return {
        "amd/vcek/Genoa/cert_chain": issuer.public_bytes(Encoding.PEM) + ark.public_bytes(Encoding.PEM),
        f"amd/vcek/Genoa/{chip}/{tcb}": evidence.certificates[0],
        LIST: revocation_list("Genoa"),
    }


def test_collateral_is_checked_before_it_is_stored() -> None:
    documents = collateral_of(Forged().evidence())

    checked = check_collateral(documents, NOW, Floors(), roots())

    assert checked.documents == documents
    assert checked.expires[LIST] == NOW + ONE_HOUR


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("intel/root", "is not a document of AMD's"),
        ("amd/vcek/Rome/crl", "is not a document of AMD's"),
        ("amd/vlek/Genoa/00/00", "is not a document of AMD's"),
        ("amd/vcek/Turin/cert_chain", "something else than the pinned ARK-Turin"),
        ("amd/vcek/Genoa/00/00", "is the certificate of another chip"),
        ("amd/vcek/Milan/crl", "is not a revocation list"),
    ],
)
def test_collateral_of_another_name_is_refused(name: str, words: str) -> None:
    documents = collateral_of(Forged().evidence())
    data = documents["amd/vcek/Genoa/cert_chain"]
    if name.endswith("/00/00"):
        data = Forged().evidence().certificates[0]

    with pytest.raises(EvidenceError) as refused:
        check_collateral(documents | {name: data}, NOW, Floors(), roots())

    assert words in str(refused.value)
