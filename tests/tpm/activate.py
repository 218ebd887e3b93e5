"""Activation of a key by a TPM in the tests' hands."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from tests.tpm.forge import Tpm

from hanse.attestation.tpm.activation import Credential, kdf_a, kdf_e


def opened(credential: Credential, tpm: Tpm, name: bytes) -> bytes:
    """What a TPM does with a credential (part 3, TPM2_ActivateCredential)."""
    if isinstance(tpm.ek, ec.EllipticCurvePrivateKey):
        x, y = credential.encrypted_seed[4:36], credential.encrypted_seed[38:70]
        point = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1())
        own = tpm.ek.public_key().public_numbers().x.to_bytes(32, "big")
        seed = kdf_e(tpm.ek.exchange(ec.ECDH(), point.public_key()), b"IDENTITY", x, own)
    else:
        oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"IDENTITY\0")
        seed = tpm.ek.decrypt(credential.encrypted_seed[2:], oaep)
    outer, identity = credential.blob[4:36], credential.blob[36:]
    integrity = kdf_a(seed, b"INTEGRITY", b"", b"", 256)
    assert outer == hmac.digest(integrity, identity + name, "sha256")
    block = Cipher(algorithms.AES(kdf_a(seed, b"STORAGE", name, b"", 128)), ECB()).encryptor()
    feedback, plain = bytes(16), b""
    for begin in range(0, len(identity), 16):
        part = identity[begin : begin + 16]
        plain += bytes(a ^ b for a, b in zip(part, block.update(feedback), strict=False))
        feedback = part
    assert int.from_bytes(plain[:2]) == len(plain) - 2
    return plain[2:]
