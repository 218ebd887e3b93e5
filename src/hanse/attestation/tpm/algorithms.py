"""Numbers of the TPM 2.0 library specification (part 2), and TPM2B, the prefix of all its buffers."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

RSA, SHA256, SHA384, SHA512, NULL = 0x0001, 0x000B, 0x000C, 0x000D, 0x0010
RSASSA, RSAES, RSAPSS, OAEP, ECDSA = 0x0014, 0x0015, 0x0016, 0x0017, 0x0018
ECC, AES, CFB = 0x0023, 0x0006, 0x0043
"""TPM_ALG_ID (part 2, section 6.3)."""
P256, P384 = 0x0003, 0x0004
"""TPM_ECC_CURVE (part 2, section 6.4)."""
NAMES: Final = {
    RSA: "RSA",
    0x0004: "SHA-1",
    SHA256: "SHA-256",
    SHA384: "SHA-384",
    SHA512: "SHA-512",
    NULL: "none",
    RSASSA: "RSASSA",
    RSAES: "RSAES",
    RSAPSS: "RSAPSS",
    OAEP: "OAEP",
    ECDSA: "ECDSA",
    ECC: "ECC",
    AES: "AES",
    CFB: "CFB",
}
_HASHES: Final[dict[int, type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]]] = {
    SHA256: hashes.SHA256,
    SHA384: hashes.SHA384,
    SHA512: hashes.SHA512,
}


def in_words(algorithm: int) -> str:
    """The name of an algorithm for people."""
    return NAMES.get(algorithm, f"algorithm {algorithm:#06x}")


def hash_of(algorithm: int, what: str) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash that a number stands for.

    Raises:
        EvidenceError: It is not SHA-256, SHA-384 or SHA-512.
    """
    if algorithm not in _HASHES:
        raise EvidenceError(f"{what} is {in_words(algorithm)}, and SHA-256, SHA-384 and SHA-512 are taken")
    return _HASHES[algorithm]()


def digest(algorithm: int, data: bytes, what: str) -> bytes:
    """The digest of data by an algorithm of the specification."""
    state = hashes.Hash(hash_of(algorithm, what))
    state.update(data)
    return state.finalize()


def read_sized(reader: Reader, most: int, name: str) -> bytes:
    """Read a buffer with its size before it (TPM2B)."""
    size = reader.big(2, f"size of its {name}")
    if size > most:
        raise EvidenceError(f"{reader.what}: its {name} has {size} bytes, more than {most}")
    return reader.take(size, name)


def sized(data: bytes) -> bytes:
    """Write a buffer with its size before it (TPM2B)."""
    return len(data).to_bytes(2, "big") + data
