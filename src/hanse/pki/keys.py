"""Private keys: made where they are used, kept where only their owner can read them."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hanse.errors import CredentialError, TrustError
from hanse.files.atomic import read_file, write_file

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

GITIGNORE = ".gitignore"
"""Keeps a folder with keys out of a Git repository that is around it."""

_SHA256 = hashes.SHA256()


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key from the operating system's randomness."""
    return ec.generate_private_key(ec.SECP256R1())


def save_key(path: Path, key: PrivateKey) -> None:
    """Write a private key as PEM (PKCS #8, not encrypted), readable by its owner only.

    Its folder gets a `.gitignore`, if it has none, so that no key is committed by `git add .`.

    Raises:
        StorageError: It cannot be written.
    """
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ignored = path.with_name(GITIGNORE)
    if not ignored.exists():
        write_file(ignored, b"# Made by Hanse: keys are in this folder.\n*\n")
    write_file(path, pem, mode=0o600)


def load_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        CredentialError: The file is missing, not readable, open to others than its
            owner, or holds no P-256 or Ed25519 key.
    """
    pem = read_file(path, private=True)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise CredentialError(
            f"{path} holds no readable private key",
            mend="It has to be PEM and not encrypted: restore it, or join the federation again.",
        ) from error
    accepted(key.public_key())
    assert isinstance(key, PrivateKey)
    return key


def accepted(key: object) -> PublicKey:
    """Return a public key if it is of a kind that a federation uses.

    Raises:
        CredentialError: It is neither P-256 nor Ed25519.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise CredentialError("the key is neither ECDSA P-256 nor Ed25519", mend="Make a key of one of these.")


def sign_bytes(key: PrivateKey, data: bytes) -> bytes:
    """Sign with ECDSA over SHA-256 (DER) or Ed25519 (64 bytes), as the key is."""
    return key.sign(data) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(data, ec.ECDSA(_SHA256))


def hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    """The hash that an X.509 builder has to be given along with a key; Ed25519 has its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else _SHA256


def check_signature(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Check a signature made by `sign_bytes`.

    Raises:
        TrustError: It was not made over `data` by the owner of `key`.
    """
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ec.ECDSA(_SHA256))
    except InvalidSignature:
        raise TrustError("the signature does not match what it should be over") from None
