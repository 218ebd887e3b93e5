"""Whom a certificate names, and when it is believed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError, HanseError
from hanse.pki.authority import Authority
from hanse.pki.certificates import (
    MAX_BYTES,
    federation_of,
    party_of,
    pem_of,
    read_certificate,
    read_der,
    verify_certificate,
)
from hanse.pki.keys import new_key

HOSPITAL = Party("north", Role.COLLABORATOR, "hospital-a")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def certificate(authority: Authority, now: datetime) -> x509.Certificate:
    return authority.issue(new_key().public_key(), HOSPITAL, now=now, lifetime=DAY)


def _homemade(authority: Authority, now: datetime, *extensions: x509.ExtensionType) -> x509.Certificate:
    """A certificate that the authority's key signed, though `Authority.issue` never would."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(authority.certificate.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(new_key().public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _names(*uris: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


def test_a_certificate_names_its_party(
    certificate: x509.Certificate, authority: Authority, now: datetime
) -> None:
    assert verify_certificate(certificate, authority.certificate, now) == HOSPITAL


def test_a_certificate_reads_back_from_pem_and_der(certificate: x509.Certificate) -> None:
    assert read_certificate(pem_of(certificate)) == certificate
    assert read_der(certificate.public_bytes(Encoding.DER)) == certificate


def test_an_expired_certificate_says_since_when(
    certificate: x509.Certificate, authority: Authority, now: datetime
) -> None:
    with pytest.raises(CredentialError, match=f"expired on {now + DAY:%Y-%m-%d %H:%M} UTC"):
        verify_certificate(certificate, authority.certificate, now + 2 * DAY)


def test_a_clock_four_minutes_behind_does_no_harm(
    certificate: x509.Certificate, authority: Authority, now: datetime
) -> None:
    assert verify_certificate(certificate, authority.certificate, now - timedelta(minutes=4)) == HOSPITAL


def test_a_clock_far_behind_is_suspected(
    certificate: x509.Certificate, authority: Authority, now: datetime
) -> None:
    with pytest.raises(CredentialError, match="Is this machine's clock right"):
        verify_certificate(certificate, authority.certificate, now - DAY)


def test_another_authority_of_the_same_name_is_told_apart(
    certificate: x509.Certificate, stranger: Authority, now: datetime
) -> None:
    with pytest.raises(CredentialError, match="signed by another federation's authority"):
        verify_certificate(certificate, stranger.certificate, now)


def test_nothing_is_believed_once_the_authority_has_expired(now: datetime) -> None:
    brief = Authority.create("north", now, DAY)
    certificate = brief.issue(new_key().public_key(), HOSPITAL, now=now, lifetime=DAY)

    with pytest.raises(CredentialError, match="authority of north expired"):
        verify_certificate(certificate, brief.certificate, now + 2 * DAY)


def test_the_authority_itself_is_no_party(authority: Authority, now: datetime) -> None:
    with pytest.raises(CredentialError, match="does not name exactly one party"):
        verify_certificate(authority.certificate, authority.certificate, now)


def test_a_party_is_no_authority(certificate: x509.Certificate) -> None:
    with pytest.raises(CredentialError, match="not the certificate of a federation's authority"):
        federation_of(certificate)


@pytest.mark.parametrize(
    "uris",
    [(), (HOSPITAL.uri, "hanse://north/operator/root"), ("https://example.org",), ("hanse://north/king/a",)],
)
def test_a_certificate_that_names_no_one_party_is_refused(
    authority: Authority, now: datetime, uris: tuple[str, ...]
) -> None:
    with pytest.raises(CredentialError, match="does not name exactly one party"):
        party_of(_homemade(authority, now, _names(*uris)))


def test_a_party_of_another_federation_is_refused(authority: Authority, now: datetime) -> None:
    certificate = _homemade(authority, now, _names("hanse://south/operator/root"))

    with pytest.raises(CredentialError, match="not one that north gives a party"):
        verify_certificate(certificate, authority.certificate, now)


def test_an_authority_below_the_authority_is_refused(authority: Authority, now: datetime) -> None:
    lower = _homemade(authority, now, _names(HOSPITAL.uri), x509.BasicConstraints(ca=True, path_length=None))

    with pytest.raises(CredentialError, match="not one that north gives a party"):
        verify_certificate(lower, authority.certificate, now)


def test_a_certificate_for_a_key_on_another_curve_is_refused(now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + DAY)
        .add_extension(_names(HOSPITAL.uri), critical=True)
        .sign(key, hashes.SHA256())
    )

    with pytest.raises(CredentialError, match="neither ECDSA P-256 nor Ed25519"):
        read_certificate(pem_of(certificate))


def test_a_certificate_longer_than_any_is_not_even_parsed(certificate: x509.Certificate) -> None:
    with pytest.raises(CredentialError, match="not a readable certificate"):
        read_certificate(pem_of(certificate) + " " * MAX_BYTES)


@given(st.text() | st.binary())
def test_garbage_is_never_a_certificate(garbage: str | bytes) -> None:
    with pytest.raises(CredentialError, match="not a readable certificate"):
        read_certificate(garbage)


# A party has to see a damaged certificate as an error, whatever the library thinks of it.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(data=st.data())
def test_a_damaged_certificate_fails_with_a_named_error_or_names_the_same_party(
    data: st.DataObject, certificate: x509.Certificate, authority: Authority, now: datetime
) -> None:
    der = bytearray(certificate.public_bytes(Encoding.DER))
    places = st.integers(0, len(der) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3)):
        der[place] = value
    del der[data.draw(st.integers(len(der) - 2, len(der))) :]

    try:
        party = verify_certificate(read_der(bytes(der)), authority.certificate, now)
    except HanseError:
        return
    assert party == HOSPITAL


# Found by fuzzing: the library raises KeyError and TypeError for these.
@pytest.mark.parametrize("asn1_type", [8, 3])
def test_a_name_of_an_odd_asn1_type_is_a_named_error(certificate: x509.Certificate, asn1_type: int) -> None:
    der = certificate.public_bytes(Encoding.DER)
    damaged = der.replace(b"\x0c\x0ahospital-a", bytes([asn1_type]) + b"\x0a\x00ospital-a")

    assert damaged != der
    with pytest.raises(CredentialError, match="not a readable certificate"):
        read_der(damaged)
