"""Activation of a key: proof, to the verifier that asks for it, that an AK is in the TPM that has an EK.

TPM 2.0 library, part 1, section 24 and annexes B.10 and C.6; part 3, TPM2_MakeCredential. The verifier
encrypts a secret for the EK and the name of the AK; a TPM decrypts it only where it holds both keys. This
proves nothing to others: the verifier knew the secret before. It keeps `Activated`, and an auditor has only
its word.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hanse.attestation.reading import Reader
from hanse.attestation.tpm.algorithms import SHA256, digest, hash_of, read_sized, sized
from hanse.attestation.tpm.public_area import (
    PublicArea,
    check_attesting,
    check_endorsing,
    read_public_area,
)
from hanse.errors import EvidenceError

SECRET_BYTES = 32
"""Bytes of the secret and of the seed; a TPM takes a secret no longer than the digest of its EK's name."""
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BLOCK = 16
_CREDENTIAL_FILE = (0xBADCC0DE, 1)
"""Magic and version of the files of tpm2-tools."""
_MOST_CREDENTIAL = 1024
"""Bytes of a credential; one for RSA 2048 takes 336."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret, encrypted for a TPM that holds two keys.

    Attributes:
        blob: TPM2B_ID_OBJECT, first input of TPM2_ActivateCredential.
        encrypted_seed: TPM2B_ENCRYPTED_SECRET, its second.
    """

    blob: bytes
    encrypted_seed: bytes

    def to_file(self) -> bytes:
        """The file that `tpm2_activatecredential --credential-blob` reads."""
        return struct.pack(">II", *_CREDENTIAL_FILE) + self.blob + self.encrypted_seed

    @staticmethod
    def from_file(data: bytes) -> Credential:
        """Read what `to_file` writes.

        Raises:
            EvidenceError: It is malformed.
        """
        if len(data) > _MOST_CREDENTIAL:
            raise EvidenceError(f"credential: it has {len(data)} bytes, more than {_MOST_CREDENTIAL}")
        reader = Reader(data, "credential")
        if (reader.big(4, "magic"), reader.big(4, "version")) != _CREDENTIAL_FILE:
            raise EvidenceError("credential: it is not one, or of another version than 1")
        blob = sized(read_sized(reader, _MOST_CREDENTIAL, "identity"))
        seed = sized(read_sized(reader, _MOST_CREDENTIAL, "encrypted seed"))
        reader.end(b"")
        return Credential(blob, seed)


@dataclass(frozen=True, slots=True)
class Activated:
    """An activation that succeeded, as the verifier that asked for it keeps it.

    Attributes:
        ak_name: Name of the AK, algorithm and digest.
        ek: Public area (TPMT_PUBLIC) of the EK.
    """

    ak_name: bytes
    ek: bytes

    def __post_init__(self) -> None:
        """Take the EK with or without its size before it, and hold that it is one."""
        area = read_public_area(self.ek, "EK")
        check_endorsing(area)
        object.__setattr__(self, "ek", area.data)


@dataclass(frozen=True, slots=True)
class Challenge:
    """An activation under way; the secret never leaves the verifier.

    Attributes:
        activated: What it will have proven.
        secret: What the TPM has to answer.
        credential: What is sent.
    """

    activated: Activated
    secret: bytes
    credential: Credential


def challenge(ek: bytes, ak: bytes, secret: bytes, seed: bytes) -> Challenge:
    """Begin an activation.

    Args:
        ek: Public area of the EK: RSA 2048 or P-256, with a name of SHA-256.
        ak: Public area of the AK.
        secret: 32 random bytes, new each time.
        seed: 32 other random bytes, new each time.

    Raises:
        EvidenceError: A public area is malformed, or not that of such a key.
    """
    signing = read_public_area(ak, "AK")
    check_attesting(signing)
    activated = Activated(signing.name, ek)
    return Challenge(activated, secret, make_credential(activated.ek, signing.name, secret, seed))


def check_answer(asked: Challenge, answer: bytes) -> Activated:
    """Finish an activation.

    Raises:
        EvidenceError: The answer is not the secret: no TPM holds both keys.
    """
    if not hmac.compare_digest(asked.secret, answer):
        raise EvidenceError(
            "activation: the answer is not the secret that was encrypted for this EK and AK",
            mend="Load the AK and the EK of one TPM, and activate the newest credential.",
        )
    return asked.activated


def make_credential(ek: bytes, ak_name: bytes, secret: bytes, seed: bytes) -> Credential:
    """Encrypt a secret for the TPM that holds an EK and a key of a name (TPM2_MakeCredential).

    Args:
        ek: Public area of the EK: RSA 2048 or P-256, with a name of SHA-256.
        ak_name: Name of the other key.
        secret: 1 to 32 bytes.
        seed: 32 random bytes: the seed for an RSA key; for P-256, what the ephemeral key is made of.

    Raises:
        EvidenceError: The EK is malformed, or of another kind.
    """
    if not 1 <= len(secret) <= SECRET_BYTES or len(seed) != SECRET_BYTES:
        raise ValueError("the secret has 1 to 32 bytes, and the seed 32")
    area = read_public_area(ek, "EK")
    check_endorsing(area)
    if area.name_hash != SHA256:
        raise EvidenceError("EK: the hash of its name is not SHA-256, which alone is taken")
    seed, encrypted = _share(area, seed)
    symmetric = kdf_a(seed, b"STORAGE", ak_name, b"", area.symmetric_bits)
    identity = _encrypt(symmetric, sized(secret))
    integrity = kdf_a(seed, b"INTEGRITY", b"", b"", 8 * SECRET_BYTES)
    outer = hmac.digest(integrity, identity + ak_name, "sha256")
    return Credential(sized(sized(outer) + identity), sized(encrypted))


def kdf_a(key: bytes, label: bytes, context_u: bytes, context_v: bytes, bits: int) -> bytes:
    """KDFa with SHA-256: SP 800-108 in counter mode (part 1, section 11.4.10.2); at most 256 bits."""
    fixed = label + b"\0" + context_u + context_v + struct.pack(">I", bits)
    return hmac.digest(key, struct.pack(">I", 1) + fixed, "sha256")[: bits // 8]


def kdf_e(z: bytes, label: bytes, party_u: bytes, party_v: bytes) -> bytes:
    """KDFe with SHA-256: SP 800-56A (part 1, section 11.4.10.3), 256 bits."""
    return digest(SHA256, struct.pack(">I", 1) + z + label + b"\0" + party_u + party_v, "hash")


def _share(area: PublicArea, seed: bytes) -> tuple[bytes, bytes]:
    """A seed that is shared with the TPM that holds an EK, and what is sent for it."""
    if isinstance(area.key, rsa.RSAPublicKey):
        sha256 = hash_of(SHA256, "hash")
        oaep = padding.OAEP(padding.MGF1(sha256), sha256, label=b"IDENTITY\0")
        return seed, area.key.encrypt(seed, oaep)
    if not isinstance(area.key.curve, ec.SECP256R1):
        raise EvidenceError(f"EK: it is {area.kind}, and RSA and P-256 are taken")
    ephemeral = ec.derive_private_key(int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())
    ours, theirs = ephemeral.public_key().public_numbers(), area.key.public_numbers()
    x, y, ek_x = (value.to_bytes(32, "big") for value in (ours.x, ours.y, theirs.x))
    shared = ephemeral.exchange(ec.ECDH(), area.key)
    return kdf_e(shared, b"IDENTITY", x, ek_x), sized(x) + sized(y)


def _encrypt(key: bytes, data: bytes) -> bytes:
    """AES in CFB mode from zeros; `cryptography` has moved its own to where it may disappear."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  one block at a time
    written, feedback = b"", bytes(_BLOCK)
    for begin in range(0, len(data), _BLOCK):
        stream = encryptor.update(feedback)
        feedback = bytes(a ^ b for a, b in zip(data[begin : begin + _BLOCK], stream, strict=False))
        written += feedback
    return written
