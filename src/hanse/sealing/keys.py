"""Keys that file keys are wrapped to: HPKE (RFC 9180) with a KEM that also holds against a quantum computer.

The suite is ML-KEM768-X25519, HKDF-SHA256 and AES-256-GCM, and there is no other, so nothing is negotiated.
The format of a sealed file names the suite by its own version.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NoReturn, final

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from hanse.core.values.canonical import sha256
from hanse.errors import SealError

Randomness = Callable[[int], bytes]
"""Gives so many random bytes."""

FILE_KEY_BYTES = 32
PUBLIC_BYTES = 1_216
"""ML-KEM's encapsulation key (1,184 bytes), then X25519's public key (32)."""
SEED_BYTES = 96
"""ML-KEM's seed (64 bytes), then X25519's private key (32)."""
WRAPPED_BYTES = 1_168
"""ML-KEM's ciphertext (1,088 bytes), X25519's ephemeral key (32), and the file key with its tag (48)."""

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_ML_KEM_PUBLIC_BYTES = 1_184
_ML_KEM_SEED_BYTES = 64
_UNUSABLE = (ValueError, InternalError)
_OPENSSL = "Install the `cryptography` package from PyPI, at least 48, whose OpenSSL has ML-KEM."


@final
class SealKey:
    """A private key: opens what was wrapped to its public one. Never printed, copied or pickled.

    Args:
        seed: 96 random bytes: ML-KEM's seed, then X25519's private key.

    Attributes:
        public: The public key, 1,216 bytes.
        fingerprint: SHA-256 of the public key, 64 hexadecimal characters.

    Raises:
        SealError: The seed has another size, or OpenSSL here has no ML-KEM.
    """

    __slots__ = ("_private", "fingerprint", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise SealError(f"a private key to sealed files has {len(seed)} bytes instead of {SEED_BYTES}")
        try:
            ml_kem = MLKEM768PrivateKey.from_seed_bytes(seed[:_ML_KEM_SEED_BYTES])
            x25519 = X25519PrivateKey.from_private_bytes(seed[_ML_KEM_SEED_BYTES:])
            self._private = MLKEM768X25519PrivateKey(ml_kem, x25519)
        except UnsupportedAlgorithm as error:
            raise SealError("OpenSSL on this machine cannot seal: it has no ML-KEM", mend=_OPENSSL) from error
        self.public = ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self.fingerprint = sha256(self.public)

    @staticmethod
    def generate(randomness: Randomness = secrets.token_bytes) -> SealKey:
        """Make a key; nothing is written.

        Raises:
            SealError: OpenSSL here has no ML-KEM.
        """
        return SealKey(randomness(SEED_BYTES))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open a file key that was wrapped to this key.

        Args:
            wrapped: What `wrap_key` returned, 1,168 bytes.
            info: What the key was wrapped for.

        Returns:
            The file key, 32 bytes.

        Raises:
            SealError: It was altered, or wrapped to another key or for something else.
        """
        if len(wrapped) != WRAPPED_BYTES:
            raise SealError(f"a wrapped file key has {len(wrapped)} bytes instead of {WRAPPED_BYTES}")
        try:
            return _SUITE.decrypt(wrapped, self._private, info=info)
        except (InvalidTag, *_UNUSABLE):
            raise SealError(
                f"a wrapped file key does not open with the key {self.fingerprint[:16]}: it was altered, or "
                "wrapped to another key or for another file"
            ) from None

    def __repr__(self) -> str:
        """Name the key by its fingerprint, without the key."""
        return f"SealKey({self.fingerprint[:16]})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError("a SealKey is never copied")


def wrap_key(key: bytes, public: bytes, info: bytes) -> bytes:
    """Wrap a file key, so that only the owner of a `SealKey` opens it.

    Args:
        key: The file key, 32 bytes.
        public: The public key to wrap to, 1,216 bytes.
        info: What the key is wrapped for: it opens only with the same.

    Returns:
        1,168 bytes, others for each call.

    Raises:
        SealError: `public` is not a public key, or OpenSSL here has no ML-KEM.
        ValueError: `key` has not 32 bytes.
    """
    if len(key) != FILE_KEY_BYTES:
        raise ValueError(f"a file key has {FILE_KEY_BYTES} bytes, and this one {len(key)}")
    if len(public) != PUBLIC_BYTES:
        raise SealError(f"a public key to seal to has {len(public)} bytes instead of {PUBLIC_BYTES}")
    try:
        ml_kem = MLKEM768PublicKey.from_public_bytes(public[:_ML_KEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public[_ML_KEM_PUBLIC_BYTES:])
        return _SUITE.encrypt(key, MLKEM768X25519PublicKey(ml_kem, x25519), info=info)
    except UnsupportedAlgorithm as error:
        raise SealError("OpenSSL on this machine cannot seal: it has no ML-KEM", mend=_OPENSSL) from error
    except _UNUSABLE as error:
        raise SealError(
            f"the public key {sha256(public)[:16]} is malformed: nothing can be sealed to it"
        ) from error
