"""Certificates of an EK lead to a maker that the policy names, are of that EK, and are not revoked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.tpm.forge import AT, NONCE, Tpm, component, curve_key, policy
from tests.tpm.vectors import rehearsal, swtpm

from hanse.attestation.base import Appraisal, Circumstances, Evidence, Tier
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.errors import EvidenceError

TPM = Tpm()
BEGIN, END = AT - timedelta(days=1), AT + timedelta(days=30)
EK_USE = ObjectIdentifier("2.23.133.8.1")


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


ROOT, ISSUER = curve_key("root"), curve_key("issuer")


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    by: ec.EllipticCurvePrivateKey,
    ca: bool = True,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca, None), True)
    )


def ek_certificate(key: ec.EllipticCurvePrivateKey, use: ObjectIdentifier = EK_USE) -> bytes:
    built = certificate("TPM", key, "issuer", ISSUER, False).add_extension(
        x509.ExtendedKeyUsage([use]), False
    )
    return built.sign(ISSUER, SHA256()).public_bytes(Encoding.DER)


ROOT_DER = certificate("root", ROOT, "root", ROOT).sign(ROOT, SHA256()).public_bytes(Encoding.DER)
ISSUER_DER = certificate("issuer", ISSUER, "root", ROOT).sign(ROOT, SHA256()).public_bytes(Encoding.DER)
EK_DER = ek_certificate(TPM.ek)
PINNED = (hashlib.sha256(ROOT_DER).hexdigest(),)


def revocations(serial: int, by: ec.EllipticCurvePrivateKey = ISSUER, issuer: str = "issuer") -> bytes:
    entry = x509.RevokedCertificateBuilder(serial, BEGIN).build()
    built = x509.CertificateRevocationListBuilder(name(issuer), BEGIN, END - timedelta(days=20))
    return built.add_revoked_certificate(entry).sign(by, SHA256()).public_bytes(Encoding.DER)


def appraise(
    *certificates: bytes,
    roots: tuple[str, ...] = PINNED,
    at: datetime = AT,
    lists: dict[str, bytes] | None = None,
    machines: tuple[str, ...] = (TPM.machine,),
) -> Appraisal:
    evidence = replace(TPM.evidence(), certificates=certificates)
    rules = policy(TPM, manufacturers=roots, machines=machines)
    return TpmVerifier(TPM.activated).appraise(evidence, rules, Circumstances(at, NONCE, lists or {}))


def test_a_chain_to_a_root_that_the_policy_names_is_accepted() -> None:
    appraisal = appraise(EK_DER, ISSUER_DER, ROOT_DER)

    assert component(appraisal, "EK certificate").tier is Tier.AFFIRMING
    assert appraisal.expires == END
    assert len(appraisal.not_proven) == 2  # no list of either issuer was given


def test_an_ek_may_be_pinned_by_its_certificate() -> None:
    pinned = (hashlib.sha256(EK_DER).hexdigest(),)

    assert component(appraise(EK_DER, ISSUER_DER, ROOT_DER, machines=pinned), "EK").tier is Tier.AFFIRMING


@pytest.mark.parametrize("certificates", [(), (EK_DER,), (EK_DER, ISSUER_DER)])
def test_a_chain_that_does_not_lead_to_the_root_is_not_accepted(certificates: tuple[bytes, ...]) -> None:
    assert component(appraise(*certificates), "EK certificate").tier is Tier.CONTRAINDICATED


def test_another_root_is_not_accepted() -> None:
    appraisal = appraise(EK_DER, ISSUER_DER, ROOT_DER, roots=("00" * 32,))

    assert component(appraisal, "EK certificate").tier is Tier.CONTRAINDICATED


def test_the_certificate_of_another_ek_is_refused() -> None:
    with pytest.raises(EvidenceError, match="is of another key"):
        appraise(ek_certificate(curve_key("another EK")), ISSUER_DER, ROOT_DER)


def test_a_certificate_for_something_else_is_refused() -> None:
    other = ek_certificate(TPM.ek, x509.ExtendedKeyUsageOID.SERVER_AUTH)

    with pytest.raises(EvidenceError, match="not one of an endorsement key"):
        appraise(other, ISSUER_DER, ROOT_DER)


def test_an_expired_chain_is_refused() -> None:
    with pytest.raises(EvidenceError, match="is valid from"):
        appraise(EK_DER, ISSUER_DER, ROOT_DER, at=END + timedelta(days=1))


def test_a_broken_chain_is_refused() -> None:
    with pytest.raises(EvidenceError, match="was not issued by"):
        appraise(EK_DER, ROOT_DER)


def test_a_revoked_certificate_is_refused() -> None:
    serial = x509.load_der_x509_certificate(EK_DER).serial_number

    with pytest.raises(EvidenceError, match="was revoked"):
        appraise(EK_DER, ISSUER_DER, ROOT_DER, lists={"ek-crl/1": revocations(serial)})


def test_a_list_of_others_is_used_and_named() -> None:
    lists = {"ek-crl/1": revocations(1), "ek-crl/2": revocations(1, ROOT, "root")}

    appraisal = appraise(EK_DER, ISSUER_DER, ROOT_DER, lists=lists)

    assert appraisal.collateral.keys() == lists.keys()
    assert appraisal.expires == END - timedelta(days=20)
    assert appraisal.not_proven == ()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (revocations(1, ROOT), "is not signed by"),
        (b"x", "is not a revocation list"),
    ],
)
def test_a_list_that_is_not_the_issuer_s_is_refused(found: bytes, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        appraise(EK_DER, ISSUER_DER, ROOT_DER, lists={"ek-crl/1": found})


def test_an_expired_list_is_refused() -> None:
    at = END - timedelta(days=1)

    with pytest.raises(EvidenceError, match="ek-crl/1 counts from"):
        appraise(EK_DER, ISSUER_DER, ROOT_DER, lists={"ek-crl/1": revocations(1)}, at=at)


def test_every_byte_that_the_issuer_signed_counts() -> None:
    signed = x509.load_der_x509_certificate(EK_DER).tbs_certificate_bytes
    begin = EK_DER.index(signed)

    for place in range(begin, begin + len(signed)):
        changed = EK_DER[:place] + bytes([EK_DER[place] ^ 1]) + EK_DER[place + 1 :]
        with pytest.raises(EvidenceError):
            appraise(changed, ISSUER_DER, ROOT_DER)


def recorded(evidence: Evidence, **other: object) -> Appraisal:
    vector = swtpm("rsa")
    at = Circumstances(datetime(2027, 1, 1, tzinfo=UTC), NONCE)
    return TpmVerifier(vector.activated).appraise(evidence, rehearsal(vector.ek, **other), at)


def test_the_certificates_of_swtpm_lead_to_their_root_and_name_it() -> None:
    evidence = swtpm("rsa").evidence
    roots = (hashlib.sha256(evidence.certificates[-1]).hexdigest(),)

    appraisal = recorded(evidence, manufacturers=roots)

    assert component(appraisal, "EK certificate").tier is Tier.AFFIRMING
    assert "and swtpm" in component(appraisal, "TPM implementation").seen
    assert appraisal.measured["TPM manufacturer"] == "id:00001014"
    assert appraisal.measured["TPM model"] == "swtpm"
