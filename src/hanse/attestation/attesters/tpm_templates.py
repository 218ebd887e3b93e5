"""Templates of keys that a TPM makes (TPMT_PUBLIC; TPM 2.0 library, part 2, section 12.2.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from hanse.attestation.tpm.algorithms import AES, CFB, ECC, ECDSA, NULL, P256, RSA, SHA256, sized
from hanse.attestation.tpm.public_area import ATTESTING, ENDORSING, Attributes

_POLICY = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
"""PolicySecret of the endorsement hierarchy (TCG EK Credential Profile, annex B.6.2)."""
_AES_128 = struct.pack(">HHH", AES, 128, CFB)
_NONE = struct.pack(">H", NULL)
_EK = ENDORSING | Attributes.ADMIN_WITH_POLICY

EK_RSA: Final = (
    struct.pack(">HHI", RSA, SHA256, _EK)
    + sized(_POLICY)
    + _AES_128
    + _NONE
    + struct.pack(">HI", 2048, 0)
    + sized(bytes(256))
)
"""Template L-1 of the profile: RSA 2048. A TPM makes the same key of it each time."""
EK_ECC: Final = (
    struct.pack(">HHI", ECC, SHA256, _EK)
    + sized(_POLICY)
    + _AES_128
    + _NONE
    + struct.pack(">HH", P256, NULL)
    + sized(bytes(32)) * 2
)
"""Template L-2 of the profile: P-256."""


def new_ak(randomness: Callable[[int], bytes]) -> bytes:
    """Template of an attestation key, P-256 with SHA-256, that no other template leads to.

    A TPM derives primary keys from its seed and the template: random bytes in the place of the point make
    another key each time. The key belongs to the endorsement hierarchy, because quotes of keys of others
    state counters and firmware that are not the TPM's own (part 1, section 36.7). Its password is random
    too, so a wrong one is not to count as an attack on the TPM.
    """
    attributes = ATTESTING | Attributes.USER_WITH_AUTH | Attributes.NO_DA
    scheme = struct.pack(">HH", ECDSA, SHA256)
    curve = struct.pack(">HH", P256, NULL)
    head = struct.pack(">HHI", ECC, SHA256, attributes) + sized(b"")
    return head + _NONE + scheme + curve + sized(randomness(32)) + sized(randomness(32))
