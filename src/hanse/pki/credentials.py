"""A party's own key and certificate, as they lie on its disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from hanse.core.values.identity import Party
from hanse.errors import CredentialError
from hanse.files.atomic import move_file, write_file
from hanse.pki.certificates import (
    BACKDATING,
    check_pair,
    key_of,
    load_certificate,
    party_of,
    pem_of,
    read_certificate,
    verify_certificate,
)
from hanse.pki.keys import PrivateKey, load_key, save_key

KEY_FILE = "party.key"
CERTIFICATE_FILE = "party.crt"
AUTHORITY_FILE = "ca.crt"
_NEXT_KEY_FILE = "party.key.next"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a party proves its identity with, and whom it believes.

    Attributes:
        directory: Where `party.key`, `party.crt` and `ca.crt` are.
        key: The party's private key.
        certificate: The party's certificate.
        authority: The certificate of the federation's authority.
    """

    directory: Path
    key: PrivateKey
    certificate: x509.Certificate
    authority: x509.Certificate

    @staticmethod
    def save_new(
        directory: Path, key: PrivateKey, certificate_pem: str, ca_pem: str, now: datetime
    ) -> Credentials:
        """Check what enrolment brought and write it down.

        Raises:
            CredentialError: The directory already holds a party's credentials, or the
                new ones are not good at `now`. Nothing is written then.
            StorageError: The files cannot be written.
        """
        if (directory / CERTIFICATE_FILE).exists():
            raise CredentialError(
                f"{directory} already holds the credentials of a party",
                mend="Choose another directory, or move that one away.",
            )
        new = Credentials(directory, key, read_certificate(certificate_pem), read_certificate(ca_pem))
        new._check(now)
        write_file(directory / AUTHORITY_FILE, pem_of(new.authority).encode())
        save_key(directory / KEY_FILE, key)
        # Last: its presence says that the credentials are whole.
        write_file(directory / CERTIFICATE_FILE, pem_of(new.certificate).encode())
        return new

    @staticmethod
    def load(directory: Path, now: datetime) -> Credentials:
        """Read a party's credentials and check that they are good at `now`.

        Raises:
            CredentialError: A file is missing, unreadable or open to others, key and
                certificate do not belong together, or the certificate is foreign,
                expired or not yet valid.
        """
        if not (directory / CERTIFICATE_FILE).exists():
            raise CredentialError(
                f"there are no credentials of a party in {directory}",
                mend="Join a federation with `hanse join TOKEN`, or name the directory where they are.",
            )
        certificate = load_certificate(directory / CERTIFICATE_FILE)
        authority = load_certificate(directory / AUTHORITY_FILE)
        _finish_replacement(directory, certificate)
        credentials = Credentials(directory, load_key(directory / KEY_FILE), certificate, authority)
        credentials._check(now)
        return credentials

    @property
    def party(self) -> Party:
        """Whom the certificate names."""
        return party_of(self.certificate)

    @property
    def not_after(self) -> datetime:
        """Last moment at which the certificate is valid (UTC)."""
        return self.certificate.not_valid_after_utc

    def fraction_left(self, now: datetime) -> float:
        """How much of the certificate's life from its issue is left, 0 (expired) to 1 (new)."""
        return min(max((self.not_after - now) / self._life, 0.0), 1.0)

    def lasts_s(self, now: datetime, down_to: float = 0.0) -> float:
        """Seconds until no more than a fraction of the certificate's life is left; at least 0."""
        return max((self.not_after - down_to * self._life - now).total_seconds(), 0.0)

    @property
    def _life(self) -> timedelta:
        """The certificate's life from its issue."""
        life = self.not_after - self.certificate.not_valid_before_utc - BACKDATING
        return max(life, timedelta(seconds=1))

    def replace_certificate(
        self, certificate_pem: str, now: datetime, key: PrivateKey | None = None
    ) -> Credentials:
        """Write a renewed certificate, and its new key where it has one.

        A crash at any point leaves either the old pair or the new one for `load`.

        Raises:
            CredentialError: The certificate is not good at `now`, another party's, or of
                another key. The old credentials stay as they are then.
            StorageError: The files cannot be written.
        """
        certificate = read_certificate(certificate_pem)
        new = Credentials(self.directory, key or self.key, certificate, self.authority)
        new._check(now)
        if new.party != self.party:
            raise CredentialError(
                f"the new certificate is that of {new.party.uri}, not of {self.party.uri}",
                mend="Ask the federation's operator who was enrolled under this name.",
            )
        if key is not None:
            save_key(self.directory / _NEXT_KEY_FILE, key)
        write_file(self.directory / CERTIFICATE_FILE, pem_of(certificate).encode())
        _finish_replacement(self.directory, certificate)
        return new

    def _check(self, now: datetime) -> None:
        verify_certificate(self.certificate, self.authority, now)
        check_pair(self.key, self.certificate, self.directory / KEY_FILE)


def _finish_replacement(directory: Path, certificate: x509.Certificate) -> None:
    """Put a new key in place if the certificate in place is for it.

    Two files cannot be replaced in one step. The certificate's replacement is what
    counts: before it the next key is not used, after it the old one is not.
    """
    waiting = directory / _NEXT_KEY_FILE
    if waiting.exists() and load_key(waiting).public_key() == key_of(certificate):
        move_file(waiting, directory / KEY_FILE)
