"""Signing key of a party, apart from its certificate: what the party states is signed with it.

The key is made where the party joins, never leaves its folder, and outlives all certificates of the
party. A statement carries the public key; a roster, the membership record or an auditor's own list
says whose key it is, by its fingerprint.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement, signed_bytes
from hanse.errors import CredentialError, TrustError
from hanse.files.atomic import read_file
from hanse.pki.key_words import words_of
from hanse.pki.keys import check_signature, save_key

SIGNING_KEY_FILE = "signing.key"

ANOTHER_KEY = (
    "Restore the file from a backup. Without one, ask the federation's operator to remove this party "
    "(`hanse federation remove NAME`) and to invite it again, move the folder `pki` away, and join: "
    "the party then has another key, and each person who has noted the old fingerprint needs the new one."
)
"""Remedy for a lost signing key."""

_MOST_REMEMBERED = 16_384
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A party's signing key, Ed25519.

    Attributes:
        private: The key; signs, and stays here.
        public: The public key, SubjectPublicKeyInfo (DER), base64.
        fingerprint: SHA-256 of the public key (DER), 64 hexadecimal characters.
    """

    private: Ed25519PrivateKey = field(repr=False)
    public: str
    fingerprint: str

    @staticmethod
    def of(private: Ed25519PrivateKey) -> SigningKey:
        """The signing key whose private key this is."""
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SigningKey(private, base64.b64encode(der).decode("ascii"), sha256(der))

    @staticmethod
    def create() -> SigningKey:
        """Make a key from the operating system's randomness; nothing is written yet."""
        return SigningKey.of(Ed25519PrivateKey.generate())

    @staticmethod
    def load(identity: Path, file: str = SIGNING_KEY_FILE) -> SigningKey:
        """Read the key of a party.

        Args:
            identity: Folder with the party's credentials.
            file: Name of the file in it.

        Raises:
            CredentialError: The file is missing, not readable, open to others than its owner, or
                damaged; says how the party gets another key.
        """
        path = identity / file
        if not path.exists():
            raise CredentialError(f"the signing key {path} is missing", mend=ANOTHER_KEY)
        pem = read_file(path, private=True)
        try:
            key = load_pem_private_key(pem, password=None)
        except _UNREADABLE as error:
            raise CredentialError(f"the signing key {path} is damaged", mend=ANOTHER_KEY) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise CredentialError(f"{path} is not a signing key: it is not Ed25519", mend=ANOTHER_KEY)
        return SigningKey.of(key)

    def save(self, identity: Path, file: str = SIGNING_KEY_FILE) -> None:
        """Write the key as PEM (PKCS #8, not encrypted), for its owner only.

        Raises:
            CredentialError: There is one already; it is left alone.
            StorageError: The file cannot be written.
        """
        if (identity / file).exists():
            raise CredentialError(
                f"{identity / file} exists already, and no other key can replace it",
                mend="Rotate it with `hanse collaborator signing-key --rotate`.",
            )
        save_key(identity / file, self.private)

    @property
    def words(self) -> str:
        """12 words for the fingerprint; see `hanse.pki.key_words`."""
        return words_of(self.fingerprint)

    def sign(self, purpose: str, body: dict[str, Any]) -> SignedStatement:
        """Sign a JSON object for one purpose.

        Raises:
            ValueError: `body` holds what JSON lacks, such as a NaN.
        """
        signature = self.private.sign(signed_bytes(purpose, body))
        return SignedStatement(
            body=body, key=self.public, signature=base64.b64encode(signature).decode("ascii")
        )


def verify_statement(statement: SignedStatement, purpose: str) -> str:
    """Check that a statement was signed with the key that it carries.

    Args:
        statement: The statement.
        purpose: What it has to have been signed for.

    Returns:
        Fingerprint of the key. Whose key it is, is for the caller to check.

    Raises:
        TrustError: The statement was altered, signed for another purpose, or is unreadable.
    """
    key, fingerprint = _read_public(statement.key)
    try:
        signature = base64.b64decode(statement.signature, validate=True)
        message = signed_bytes(purpose, statement.body)
    except ValueError as error:
        raise TrustError(f"what came as a {purpose} cannot have been signed") from error
    try:
        check_signature(key, signature, message)
    except TrustError as error:
        raise TrustError(
            f"the {purpose} was altered, or key {fingerprint[:16]} did not sign it as such",
            mend="Do not use it; ask the party for the statement that it signed.",
        ) from error
    return fingerprint


def fingerprint_of(public: str) -> str:
    """Fingerprint of a public key as statements carry it: SHA-256, 64 hexadecimal characters.

    Raises:
        TrustError: It is not the public key of a signing key.
    """
    return _read_public(public)[1]


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _read_public(public: str) -> tuple[Ed25519PublicKey, str]:
    try:
        der = base64.b64decode(public, validate=True)
        key = load_der_public_key(der)
    except _UNREADABLE as error:
        raise TrustError("the public key beside a signature cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise TrustError("the public key beside a signature is not Ed25519")
    # One key has one form, and so one fingerprint.
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise TrustError("the public key beside a signature is not in its one form")
    return key, sha256(der)
