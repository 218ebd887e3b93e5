"""What an authority signs, and what it refuses to."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError, CredentialError
from hanse.pki.authority import Authority
from hanse.pki.certificates import verify_certificate
from hanse.pki.keys import new_key, save_key

KEY = new_key().public_key()
HOSPITAL = Party("north", Role.COLLABORATOR, "hospital-a")
AGGREGATOR = Party("north", Role.AGGREGATOR, "hub")
DAY = timedelta(days=1)


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _purposes(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_an_authority_may_sign_parties_and_no_further_authorities(authority: Authority) -> None:
    constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert authority.federation == "north"


def test_an_authority_loads_as_it_was_saved(tmp_path: Path, authority: Authority) -> None:
    authority.save(tmp_path / "ca")

    assert Authority.load(tmp_path / "ca").fingerprint == authority.fingerprint
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_an_authority_never_overwrites_another(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    authority.save(tmp_path)

    with pytest.raises(CredentialError, match="already is a certificate authority"):
        stranger.save(tmp_path)

    assert Authority.load(tmp_path).fingerprint == authority.fingerprint


def test_an_authority_with_a_foreign_key_does_not_load(tmp_path: Path, authority: Authority) -> None:
    authority.save(tmp_path)
    save_key(tmp_path / "ca.key", new_key())

    with pytest.raises(CredentialError, match="not the key of the certificate beside it"):
        Authority.load(tmp_path)


def test_a_partys_key_and_certificate_do_not_load_as_an_authority(
    tmp_path: Path, authority: Authority, now: datetime
) -> None:
    key = new_key()
    certificate = authority.issue(key.public_key(), HOSPITAL, now=now, lifetime=DAY)

    Authority(key, certificate).save(tmp_path)

    with pytest.raises(CredentialError, match="not the certificate of a federation's authority"):
        Authority.load(tmp_path)


def test_a_directory_without_an_authority_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="hanse federation create"):
        Authority.load(tmp_path)


def test_an_invalid_federation_name_is_refused(now: datetime) -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        Authority.create("North Sea", now, DAY)


def test_a_collaborator_may_only_connect(authority: Authority, now: datetime) -> None:
    certificate = authority.issue(KEY, HOSPITAL, now=now, lifetime=DAY)

    assert _purposes(certificate) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert list(_names(certificate)) == [x509.UniformResourceIdentifier(HOSPITAL.uri)]


def test_an_aggregator_may_be_connected_to_at_its_hosts(authority: Authority, now: datetime) -> None:
    hosts = ["hub.example.org", "192.0.2.7", "2001:db8::1"]

    certificate = authority.issue(KEY, AGGREGATOR, now=now, lifetime=DAY, hosts=hosts)

    assert ExtendedKeyUsageOID.SERVER_AUTH in _purposes(certificate)
    assert _names(certificate).get_values_for_type(x509.DNSName) == hosts[:1]
    assert _names(certificate).get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address(host) for host in hosts[1:]
    ]


def test_an_ed25519_key_gets_a_certificate_too(authority: Authority, now: datetime) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()

    certificate = authority.issue(key, HOSPITAL, now=now, lifetime=DAY)

    assert verify_certificate(certificate, authority.certificate, now) == HOSPITAL


def test_a_key_on_another_curve_gets_none(authority: Authority, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()

    with pytest.raises(CredentialError, match="neither ECDSA P-256 nor Ed25519"):
        authority.issue(key, HOSPITAL, now=now, lifetime=DAY)


def test_no_two_certificates_share_a_serial_number(authority: Authority, now: datetime) -> None:
    serials = {authority.issue(KEY, HOSPITAL, now=now, lifetime=DAY).serial_number for _ in range(5)}

    assert len(serials) == 5


def test_a_certificate_does_not_outlive_the_authority(now: datetime) -> None:
    brief = Authority.create("north", now, DAY)

    certificate = brief.issue(KEY, HOSPITAL, now=now, lifetime=10 * DAY)

    assert certificate.not_valid_after_utc == brief.certificate.not_valid_after_utc


def test_an_expired_authority_signs_nothing(now: datetime) -> None:
    brief = Authority.create("north", now, DAY)

    with pytest.raises(CredentialError, match="authority of north expired"):
        brief.issue(KEY, HOSPITAL, now=now + DAY, lifetime=DAY)


@pytest.mark.parametrize("host", ["", "a b", "-a.example", "a..b", "*.example.org", "ä.example", "x" * 254])
def test_what_is_no_host_is_refused(authority: Authority, now: datetime, host: str) -> None:
    with pytest.raises(ConfigError, match="neither a host name nor an IP address"):
        authority.issue(KEY, AGGREGATOR, now=now, lifetime=DAY, hosts=[host])


@pytest.mark.parametrize(
    ("party", "lifetime", "hosts"),
    [
        (Party("south", Role.COLLABORATOR, "a"), DAY, ()),
        (HOSPITAL, DAY, ["hub.example.org"]),
        (HOSPITAL, timedelta(0), ()),
    ],
)
def test_what_no_caller_may_ask_for_is_refused(
    authority: Authority, now: datetime, party: Party, lifetime: timedelta, hosts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"south|not an aggregator|above zero"):
        authority.issue(KEY, party, now=now, lifetime=lifetime, hosts=hosts)


def test_a_party_with_an_invalid_name_gets_no_certificate(authority: Authority, now: datetime) -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        authority.issue(KEY, Party("north", Role.COLLABORATOR, "a/../b"), now=now, lifetime=DAY)
