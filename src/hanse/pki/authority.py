"""The certificate authority of a federation: who signs certificates, and for whom."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hanse.core.values.identity import Party, Role, check_name
from hanse.errors import ConfigError, CredentialError
from hanse.files.atomic import write_file
from hanse.pki.certificates import (
    BACKDATING,
    check_pair,
    federation_of,
    fingerprint,
    load_certificate,
    pem_of,
)
from hanse.pki.keys import PrivateKey, PublicKey, accepted, hash_for, load_key, new_key, save_key

_KEY_FILE = "ca.key"
_CERTIFICATE_FILE = "ca.crt"
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.I)


@dataclass(frozen=True, slots=True)
class Authority:
    """The key and certificate that every party's certificate hangs from.

    Attributes:
        key: The authority's private key; one made here is P-256.
        certificate: Its certificate, signed by itself.
    """

    key: PrivateKey
    certificate: x509.Certificate

    @staticmethod
    def create(federation: str, now: datetime, lifetime: timedelta) -> Authority:
        """Make the authority of a new federation; nothing is written yet.

        Raises:
            ConfigError: `federation` is not a valid name.
            ValueError: `lifetime` is not above zero.
        """
        key = new_key()
        name = _name(check_name(federation), "Hanse federation")
        builder = (
            _builder(name, key.public_key(), now, now + _positive(lifetime))
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
        )
        return Authority(key, builder.sign(key, hash_for(key)))

    @staticmethod
    def load(directory: Path) -> Authority:
        """Read an authority that `save` wrote.

        Raises:
            CredentialError: A file is missing, not readable or open to others, or the
                two do not belong together.
        """
        if not (directory / _CERTIFICATE_FILE).exists():
            raise CredentialError(
                f"there is no certificate authority in {directory}",
                mend="Name the directory that `hanse federation create` wrote.",
            )
        certificate = load_certificate(directory / _CERTIFICATE_FILE)
        federation_of(certificate)
        key = load_key(directory / _KEY_FILE)
        check_pair(key, certificate, directory / _KEY_FILE)
        return Authority(key, certificate)

    def save(self, directory: Path) -> None:
        """Write `ca.key` and `ca.crt`.

        Raises:
            CredentialError: The directory already holds an authority; it is left alone.
            StorageError: The files cannot be written.
        """
        if (directory / _CERTIFICATE_FILE).exists():
            raise CredentialError(
                f"there already is a certificate authority in {directory}",
                mend="Choose another directory: without the old key no member can renew.",
            )
        save_key(directory / _KEY_FILE, self.key)
        # Last: its presence says that the authority is whole.
        write_file(directory / _CERTIFICATE_FILE, pem_of(self.certificate).encode())

    @property
    def federation(self) -> str:
        """Name of the federation."""
        return federation_of(self.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate (DER), 64 hexadecimal characters."""
        return fingerprint(self.certificate)

    def issue(
        self,
        public_key: PublicKey,
        party: Party,
        *,
        now: datetime,
        lifetime: timedelta,
        hosts: Sequence[str] = (),
    ) -> x509.Certificate:
        """Sign a certificate for a party.

        Args:
            public_key: The party's key; from a request, what `read_csr` returned.
            party: Whom the certificate names, of this federation.
            now: When it is made. It is valid from `BACKDATING` before.
            lifetime: How long from `now`, above zero; cut off where the authority's own ends.
            hosts: Host names and IP addresses that an aggregator answers at; nobody else has any.

        Raises:
            ConfigError: The party's name or a host is not valid.
            CredentialError: The authority has expired, or the key is of another kind.
            ValueError: Another federation's party, hosts of no aggregator, or no lifetime above zero.
        """
        if party.federation != self.federation:
            raise ValueError(f"{party.uri} is not of the federation {self.federation}")
        if hosts and party.role is not Role.AGGREGATOR:
            raise ValueError(f"{party.uri} is not an aggregator and has no host")
        check_name(party.name)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if party.role is Role.AGGREGATOR:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names = [x509.UniformResourceIdentifier(party.uri), *map(_host_name, hosts)]
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _builder(_name(party.name, party.federation), accepted(public_key), now, self._end(now, lifetime))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        return builder.sign(self.key, hash_for(self.key))

    def _end(self, now: datetime, lifetime: timedelta) -> datetime:
        limit = self.certificate.not_valid_after_utc
        if now >= limit:
            raise CredentialError(
                f"the authority of {self.federation} expired on {limit:%Y-%m-%d %H:%M} UTC",
                mend="Create a new federation.",
            )
        return min(now + _positive(lifetime), limit)


def _positive(lifetime: timedelta) -> timedelta:
    if lifetime <= timedelta(0):
        raise ValueError(f"a certificate's lifetime has to be above zero, got {lifetime}")
    return lifetime


def _name(common: str, organization: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        ]
    )


def _builder(subject: x509.Name, key: PublicKey, now: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATING)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,  # of an authority: invitations
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"{host[:80]!r} is neither a host name nor an IP address",
                mend="Give it as in `aggregator.example.org` or `192.0.2.7`.",
            ) from None
        return x509.DNSName(host)
