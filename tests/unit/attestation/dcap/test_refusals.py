"""Evidence that is malformed, not genuine, expired, revoked or bound elsewhere is refused in words."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.dcap import forge
from tests.dcap.forge import AT, BOUND, END, Maker, certify, given, maker, revocation_list
from tests.dcap.policies import sgx_policy, tdx_policy

from hanse.attestation.base import Appraisal, Circumstances, Evidence, Kind, Tier
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier
from hanse.errors import EvidenceError

SIZE_OF_CERTIFIED = 48 + 384 + 4 + 64 + 64
"""Offset of the QE report in a quote of version 3."""


def appraise(
    evidence: Evidence, circumstances: Circumstances | None = None, root: x509.Certificate | None = None
) -> Appraisal:
    circumstances = circumstances or given(maker().collateral(evidence.kind))
    root = root or maker().root.certificate
    if evidence.kind is Kind.SGX:
        return SgxVerifier(root).appraise(evidence, sgx_policy(), circumstances)
    return TdxVerifier(root).appraise(evidence, tdx_policy(), circumstances)


def test_evidence_of_another_maker_is_refused_by_the_pinned_root() -> None:
    with pytest.raises(EvidenceError, match="ends in another root"):
        SgxVerifier().appraise(forge.sgx(), sgx_policy(), given(maker().collateral(Kind.SGX)))


@pytest.mark.parametrize(
    "evidence",
    [
        forge.sgx(),
        Evidence(Kind.SGX, maker().quote(forge.enclave_report(), Kind.SGX, 4)),
        Evidence(Kind.SGX, maker().quote(forge.enclave_report(), Kind.SGX, 5)),
        forge.tdx(),
        forge.tdx(version=5),
        forge.tdx(forge.td_report(svn2=(3, 1)), version=5),
    ],
    ids=["SGX 3", "SGX 4", "SGX 5", "TDX 4", "TDX 5 with TD 1.0", "TDX 5 with TD 1.5"],
)
def test_every_layout_is_taken(evidence: Evidence) -> None:
    assert appraise(evidence).tier is Tier.AFFIRMING


@pytest.mark.parametrize("evidence", [forge.sgx(), forge.tdx()], ids=["SGX", "TDX"])
def test_another_root_than_intels_is_refused(evidence: Evidence) -> None:
    circumstances = given(maker().collateral(evidence.kind))
    another = certify("Intel SGX Root CA").certificate

    with pytest.raises(
        EvidenceError, match=r"ends in another root \(Intel SGX Root CA\) than the pinned one"
    ):
        appraise(evidence, circumstances, root=another)


def test_other_report_data_is_refused_with_both_values() -> None:
    wrong = Circumstances(AT, bytes(64), maker().collateral(Kind.TDX))

    with pytest.raises(EvidenceError, match=f"is bound to {BOUND.hex()}, and should be to {'00' * 64}"):
        appraise(forge.tdx(), wrong)


def test_evidence_of_another_kind_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"it is of SGX, not of TDX\. Name the kind of the evidence: sgx"):
        appraise(Evidence(Kind.TDX, forge.sgx().quote))


def test_a_verifier_takes_no_evidence_of_another_kind() -> None:
    with pytest.raises(EvidenceError, match="said to be of tpm"):
        SgxVerifier().appraise(Evidence(Kind.TPM, b""), sgx_policy(), given({}))


def test_certificates_and_parts_that_no_quote_needs_are_refused() -> None:
    quote = forge.tdx().quote

    with pytest.raises(EvidenceError, match="certificates came along"):
        appraise(Evidence(Kind.TDX, quote, certificates=(b"0",)))
    with pytest.raises(EvidenceError, match="a part 'key' came along, and event-log is taken"):
        appraise(Evidence(Kind.TDX, quote, parts={"key": b""}))


@pytest.mark.parametrize(
    ("offset", "value", "named"),
    [
        (0, struct.pack("<H", 6), "has version 6, and versions 4, 5 are taken"),
        (0, struct.pack("<H", 3), "has version 3"),
        (2, struct.pack("<H", 3), "attestation key is of type 3"),
        (4, struct.pack("<I", 7), "it is of the TEE type 0x7"),
        (8, b"\1", "reserved field of the header"),
        (12, bytes(16), "its QE vendor is 0000"),
    ],
)
def test_a_header_of_another_kind_is_named(offset: int, value: bytes, named: str) -> None:
    quote = forge.tdx().quote
    changed = quote[:offset] + value + quote[offset + len(value) :]

    with pytest.raises(EvidenceError, match=named):
        appraise(Evidence(Kind.TDX, changed))


def test_a_body_of_another_type_or_size_is_refused() -> None:
    quote = forge.tdx(version=5).quote

    for value, named in (
        (b"\4\0", "its body has type 4"),
        (b"\2\0\0\0\0\0", "has 0 bytes, and 584 in type 2"),
    ):
        with pytest.raises(EvidenceError, match=named):
            appraise(Evidence(Kind.TDX, quote[:48] + value + quote[48 + len(value) :]))


@pytest.mark.parametrize("at", [0, 40, 100, 500, 700, 2000])
def test_a_quote_that_is_cut_off_is_refused(at: int) -> None:
    with pytest.raises(EvidenceError, match="cut off or damaged"):
        appraise(Evidence(Kind.TDX, forge.tdx().quote[:at]))


def test_only_zeros_may_follow_a_quote() -> None:
    assert appraise(Evidence(Kind.TDX, forge.tdx().quote + bytes(100))).tier is Tier.AFFIRMING
    with pytest.raises(EvidenceError, match="Only zeros may follow a quote"):
        appraise(Evidence(Kind.TDX, forge.tdx().quote + b"\0\1"))


def test_reserved_fields_of_an_enclave_report_are_zero() -> None:
    body = bytearray(forge.enclave_report())
    body[100] = 1

    with pytest.raises(
        EvidenceError, match="second reserved field at offset 96 is reserved, and is not zero"
    ):
        appraise(forge.sgx(bytes(body)))


def test_certification_data_without_the_chain_is_refused() -> None:
    quote = forge.sgx().quote
    at = SIZE_OF_CERTIFIED + 384 + 64 + 2 + 32

    with pytest.raises(EvidenceError, match=r"has type 3, and 5 is taken\. Have the platform put the whole"):
        appraise(Evidence(Kind.SGX, quote[:at] + b"\3\0" + quote[at + 2 :]))


def test_an_attestation_key_that_the_quoting_enclave_did_not_state_is_refused() -> None:
    other = Maker(root=maker().root)
    for name in ("ca", "pck", "signer"):
        object.__setattr__(other, name, getattr(maker(), name))
    point = maker().attestation.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    bound = hashlib.sha256(point + bytes(range(32))).digest() + bytes(32)
    qe = forge.enclave_report(bound, attributes="1100000000000000e700000000000000", mrsigner=forge.QE_SIGNER)

    with pytest.raises(EvidenceError, match="the QE report is not of that key"):
        appraise(Evidence(Kind.SGX, other.quote(forge.enclave_report(), Kind.SGX, 3, qe=qe)))


def test_report_data_of_the_quoting_enclave_ends_in_zeros() -> None:
    with pytest.raises(EvidenceError, match="the QE report is not of that key"):
        appraise(forge.sgx(tail=b"\1" * 32))


def test_an_attestation_key_that_is_not_a_point_is_refused() -> None:
    data = bytes(range(32))
    bound = hashlib.sha256(b"\1" * 64 + data).digest() + bytes(32)
    qe = forge.enclave_report(bound, attributes="1100000000000000e700000000000000", mrsigner=forge.QE_SIGNER)
    quote = bytearray(maker().quote(forge.enclave_report(), Kind.SGX, 3, qe=qe))
    quote[SIZE_OF_CERTIFIED - 64 : SIZE_OF_CERTIFIED] = b"\1" * 64

    with pytest.raises(EvidenceError, match="is not a point of P-256"):
        appraise(Evidence(Kind.SGX, bytes(quote)))


def chain(*certified: forge.Certified) -> bytes:
    return b"".join(each.pem for each in certified)


def whole() -> bytes:
    return chain(maker().pck, maker().ca, maker().root)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda pem: pem.replace(b"\n", b"\r\n"), "is not written canonically"),
        (lambda pem: pem.replace(b"\n", b"\n\n", 1), "is not written canonically"),
        (lambda pem: b"subject: PCK\n" + pem, "is not an X.509 certificate"),
        (lambda pem: pem + b"\0\1", "something that is not a certificate follows"),
        (
            lambda pem: pem.replace(b"MII", b"!!!", 1),
            "is not an X.509 certificate|is not written canonically",
        ),
        (lambda pem: b"", "has 0 certificates"),
        (lambda pem: pem * 3, "has 9 certificates, and 1 to 8"),
        (lambda pem: chain(maker().pck, maker().root), "has 2 certificates, and should have 3"),
        (lambda pem: chain(maker().ca, maker().pck, maker().root), "was not issued by"),
        (lambda pem: chain(maker().pck, maker().root, maker().ca), "ends in another root"),
    ],
)
def test_a_chain_that_is_written_or_ordered_another_way_is_refused(
    change: Callable[[bytes], bytes], named: str
) -> None:
    with pytest.raises(EvidenceError, match=named):
        appraise(forge.sgx(chain=change(whole())))


def test_zeros_after_the_chain_are_taken() -> None:
    assert appraise(forge.sgx(chain=whole() + b"\0")).tier is Tier.AFFIRMING
    assert appraise(forge.sgx(chain=whole().rstrip(b"\n"))).tier is Tier.AFFIRMING


def test_a_certificate_of_another_name_signs_no_quote() -> None:
    extension = forge.sgx_extension((5,) * 16, 10)
    other = certify("Intel SGX TCB Signing", maker().ca, ca=False, extension=extension)

    with pytest.raises(EvidenceError, match="is of 'Intel SGX TCB Signing', and should be of Intel SGX PCK"):
        appraise(forge.sgx(pck=other))


def test_a_ca_of_another_name_certifies_no_machine() -> None:
    ca = certify("Intel SGX Other CA", maker().root)
    pck = certify("Intel SGX PCK Certificate", ca, ca=False, extension=forge.sgx_extension((5,) * 16, 10))

    with pytest.raises(EvidenceError, match="'Intel SGX Other CA' is not a PCK CA"):
        appraise(forge.sgx(pck=pck, chain=chain(pck, ca, maker().root)))


def test_an_authority_signs_no_quote() -> None:
    pck = certify("Intel SGX PCK Certificate", maker().ca, extension=forge.sgx_extension((5,) * 16, 10))

    with pytest.raises(EvidenceError, match="should be for signatures, and not of an authority"):
        appraise(forge.sgx(pck=pck))


def test_a_machine_may_not_certify_another() -> None:
    below = certify(
        "Intel SGX PCK Certificate", maker().pck, ca=False, extension=forge.sgx_extension((5,) * 16, 10)
    )

    with pytest.raises(EvidenceError, match="may not issue others"):
        appraise(forge.sgx(pck=below, chain=chain(below, maker().pck, maker().root)))


def test_a_key_of_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    pck = certify(
        "Intel SGX PCK Certificate",
        maker().ca,
        ca=False,
        extension=forge.sgx_extension((5,) * 16, 10),
        key=key,
    )

    with pytest.raises(EvidenceError, match="is not P-256"):
        appraise(forge.sgx(chain=chain(pck, maker().ca, maker().root)))


def test_a_pck_certificate_without_the_extension_is_refused() -> None:
    pck = certify("Intel SGX PCK Certificate", maker().ca, ca=False)

    with pytest.raises(EvidenceError, match="has no SGX extension"):
        appraise(forge.sgx(pck=pck))


def test_a_certificate_that_has_ended_is_refused() -> None:
    pck = certify(
        "Intel SGX PCK Certificate",
        maker().ca,
        ca=False,
        extension=forge.sgx_extension((5,) * 16, 10),
        end=AT - timedelta(days=1),
    )

    with pytest.raises(EvidenceError, match="PCK Certificate is valid from 2025-08-04 to 2026-06-14, not at"):
        appraise(forge.sgx(pck=pck))


@pytest.mark.parametrize("days", [-16, 16])
def test_collateral_counts_neither_before_nor_after_its_time(days: int) -> None:
    circumstances = given(maker().collateral(Kind.SGX), at=AT + timedelta(days=days))

    with pytest.raises(EvidenceError, match=r"counts from 2026-05-31 until 2026-06-30, not at"):
        appraise(forge.sgx(), circumstances)


@pytest.mark.parametrize("name", ["tcb-info/sgx/00906ed50000", "qe-identity/sgx"])
def test_signed_documents_end_on_their_own(name: str) -> None:
    late = {"nextUpdate": forge.time(AT - timedelta(days=1))}
    info = forge.tcb_info(Kind.SGX, **late) if name.startswith("tcb") else None
    enclave = forge.identity(Kind.SGX, **late) if name.startswith("qe") else None

    with pytest.raises(
        EvidenceError, match=f"collateral {name} counts from 2026-05-31 to 2026-06-14, not at"
    ):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX, info, enclave)))


def test_a_verdict_ends_with_the_first_document() -> None:
    soon = END - timedelta(days=3)
    info = forge.tcb_info(Kind.SGX, nextUpdate=forge.time(soon))

    assert appraise(forge.sgx(), given(maker().collateral(Kind.SGX, info))).expires == soon


@pytest.mark.parametrize(
    ("name", "revoked"),
    [("pck-crl/platform", "pck"), ("root-crl", "ca"), ("root-crl", "signer")],
    ids=["machine", "PCK CA", "signer of TCB information"],
)
def test_what_was_revoked_is_refused(name: str, revoked: str) -> None:
    issuer = maker().ca if name.startswith("pck") else maker().root
    changed = {name: revocation_list(issuer, [getattr(maker(), revoked)])}

    with pytest.raises(EvidenceError, match="was revoked by its issuer"):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX) | changed))


def test_a_revocation_list_of_another_issuer_is_refused() -> None:
    changed = {"pck-crl/platform": revocation_list(maker().root)}

    with pytest.raises(EvidenceError, match="pck-crl/platform is not signed by CN=Intel SGX PCK Platform CA"):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX) | changed))


def test_tcb_information_of_another_family_or_pce_is_refused() -> None:
    for change, named in (({"fmspc": "0" * 12}, "FMSPC 000000000000"), ({"pceId": "0001"}, "is of PCE 0001")):
        collateral = maker().collateral(Kind.SGX, forge.tcb_info(Kind.SGX, **change))
        with pytest.raises(EvidenceError, match=named):
            appraise(forge.sgx(), given(collateral))


def test_tcb_information_of_the_other_kind_is_refused() -> None:
    collateral = maker().collateral(Kind.SGX, forge.tcb_info(Kind.TDX), forge.identity(Kind.SGX))

    with pytest.raises(EvidenceError, match="tcb-info/sgx/00906ed50000 is of TDX"):
        appraise(forge.sgx(), given(collateral))


def test_the_identity_of_the_other_quoting_enclave_is_refused() -> None:
    with pytest.raises(EvidenceError, match="qe-identity/sgx is of TD_QE, not of QE"):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX, None, forge.identity(Kind.TDX))))


def test_the_key_of_a_machine_signs_no_tcb_information() -> None:
    body = forge.compact(forge.tcb_info(Kind.SGX))
    name = f"tcb-info/sgx/{forge.FMSPC}"
    signer = certify("Intel SGX PCK Certificate", maker().root, ca=False)
    changed = {name: forge.signed("tcbInfo", body, signer.key), f"{name}.chain": chain(signer, maker().root)}

    with pytest.raises(EvidenceError, match="should be of Intel SGX TCB Signing"):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX) | changed))


def test_a_time_without_a_zone_is_a_slip_of_the_caller() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        appraise(forge.sgx(), given(maker().collateral(Kind.SGX), at=AT.replace(tzinfo=None)))
