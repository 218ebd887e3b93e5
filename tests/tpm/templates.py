"""Public areas of keys: templates for a TPM (EK Credential Profile, annex B), and those of keys made here."""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hanse.attestation.tpm.algorithms import sized

EK_ATTRIBUTES = 0x000300B2
AK_ATTRIBUTES = 0x00050072
EK_POLICY = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
"""PolicySecret of the endorsement hierarchy."""
_RSA, _ECC, _NULL, _SHA256 = 0x0001, 0x0023, 0x0010, 0x000B
_AES_128 = struct.pack(">HHH", 0x0006, 128, 0x0043)
_NONE = struct.pack(">H", _NULL)
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018


def rsa_area(
    attributes: int, symmetric: bytes, scheme: bytes, modulus: bytes, policy: bytes = b"", bits: int = 2048
) -> bytes:
    head = struct.pack(">HHI", _RSA, _SHA256, attributes) + sized(policy)
    return head + symmetric + scheme + struct.pack(">HI", bits, 0) + sized(modulus)


def ecc_area(
    attributes: int,
    symmetric: bytes,
    scheme: bytes,
    point: tuple[bytes, bytes],
    policy: bytes = b"",
    curve: int = 3,
) -> bytes:
    head = struct.pack(">HHI", _ECC, _SHA256, attributes) + sized(policy)
    return head + symmetric + scheme + struct.pack(">HH", curve, _NULL) + sized(point[0]) + sized(point[1])


def bound(scheme: int, digest: int = _SHA256) -> bytes:
    """A signature scheme."""
    return struct.pack(">HH", scheme, digest)


EK_RSA = rsa_area(EK_ATTRIBUTES, _AES_128, _NONE, bytes(256), EK_POLICY)
EK_ECC = ecc_area(EK_ATTRIBUTES, _AES_128, _NONE, (bytes(32), bytes(32)), EK_POLICY)
AK_RSA = rsa_area(AK_ATTRIBUTES, _NONE, bound(RSASSA), b"")
AK_PSS = rsa_area(AK_ATTRIBUTES, _NONE, bound(RSAPSS), b"")
AK_ECC = ecc_area(AK_ATTRIBUTES, _NONE, bound(ECDSA), (b"", b""))


def signing_area(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    scheme: int,
    attributes: int = AK_ATTRIBUTES,
    digest: int = _SHA256,
) -> bytes:
    """Public area of an AK that was made here."""
    return _area(key, attributes, _NONE, bound(scheme, digest), b"")


def endorsing_area(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, attributes: int = EK_ATTRIBUTES
) -> bytes:
    """Public area of an EK that was made here."""
    return _area(key, attributes, _AES_128, _NONE, EK_POLICY)


def _area(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    attributes: int,
    symmetric: bytes,
    scheme: bytes,
    policy: bytes,
) -> bytes:
    if isinstance(key, rsa.RSAPublicKey):
        modulus = key.public_numbers().n.to_bytes(key.key_size // 8, "big")
        return rsa_area(attributes, symmetric, scheme, modulus, policy, key.key_size)
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    point = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
    return ecc_area(attributes, symmetric, scheme, point, policy, 3 if size == 32 else 4)
