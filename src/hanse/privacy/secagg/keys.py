"""Keys of an attempt: X25519 between two members, and from its secret the key of their mask (HKDF-SHA256)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hanse.errors import TrustError
from hanse.privacy.secagg.masks import MaskKey

MASK_LABEL = b"hanse/secagg/v1/mask"

_PRIME = 2**255 - 19
_KEY_BYTES = 16
# Any private key would do: all of them are multiples of 8, which takes each point of low order to zero.
_PROBE = X25519PrivateKey.from_private_bytes(bytes([1] * 32))


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """Inputs of one member to the key of a pair.

    Attributes:
        fingerprint: Of the signing key, 64 hexadecimal characters.
        public: X25519 public key of the attempt, 64 hexadecimal characters.
    """

    fingerprint: str
    public: str


def private_key(random: bytes) -> X25519PrivateKey:
    """The private key of 32 random bytes."""
    return X25519PrivateKey.from_private_bytes(random)


def public_of(private: X25519PrivateKey) -> str:
    """The public key, in hexadecimal."""
    return private.public_key().public_bytes_raw().hex()


def check_public(public: str, sender: str) -> None:
    """Refuse a public key that is not in its one form, or whose secrets everybody knows.

    RFC 7748 lets 2 to 4 texts stand for one point. Here a key is below 2^255 - 19, so that two different
    texts are two points.

    Args:
        public: 64 hexadecimal characters, lower case.
        sender: Site to name.

    Raises:
        TrustError: It is refused.
    """
    if int.from_bytes(bytes.fromhex(public), "little") >= _PRIME:
        raise TrustError(f"the public key in the READY of {sender} is not written in its one form")
    shared_secret(_PROBE, public, sender)


def shared_secret(private: X25519PrivateKey, public: str, sender: str) -> bytes:
    """The secret that only the two members have, 32 bytes.

    Raises:
        TrustError: It is zero: the public key is a point of low order.
    """
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))
    except ValueError:  # how OpenSSL reports a secret of zeros
        secret = bytes(32)
    if secret == bytes(32):
        raise TrustError(
            f"the public key in the READY of {sender} is of low order: anybody could compute the mask",
            mend=f"The software of {sender} is faulty or was altered; continue without that site.",
        )
    return secret


def pair_key(private: X25519PrivateKey, rho: str, own: MemberKeys, peer: MemberKeys, sender: str) -> MaskKey:
    """Key of the mask that two members share, and who of them adds it.

    Args:
        private: This member's private key of the attempt.
        rho: Digest of the roster, 64 hexadecimal characters.
        own: This member.
        peer: The other.
        sender: Name of the other.

    Raises:
        TrustError: See `shared_secret`.
    """
    low, high = sorted((own, peer), key=lambda member: bytes.fromhex(member.fingerprint))
    parts = (rho, low.fingerprint, high.fingerprint, low.public, high.public)
    info = MASK_LABEL + b"\0" + b"".join(bytes.fromhex(part) for part in parts)
    secret = shared_secret(private, peer.public, sender)
    key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(secret)
    return MaskKey(key, 1 if low is own else -1)
