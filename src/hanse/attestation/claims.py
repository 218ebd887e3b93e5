"""Claims that evidence is bound to: who shows it, to whom, in which run, and with which keys."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from hanse.attestation.base import Kind
from hanse.core.values.canonical import canonical_json
from hanse.core.values.schema import Digest, Name, Strict

Key = Annotated[str, Field(min_length=64, max_length=4096, pattern="^[0-9a-f]+$")]
"""A public key, hexadecimal."""


class Claims(Strict):
    """Statement of a device about an instance, which is one start of one agent or service.

    The verifier builds the claims from what it expects, and takes only `seal`, `speak`, `devices` and `log`
    from the peer.

    Attributes:
        format: Version of this structure.
        purpose: What the evidence is shown for.
        verifier: Fingerprint of the signing key of the party that asked.
        nonce: The verifier's nonce.
        federation, role, name: The party that shows the evidence.
        signer: Fingerprint of its signing key.
        seal: Its public key for what stays secret for this instance.
        speak: Its public key for what is to be believed of this instance.
        run: The run.
        plan: Digest of the plan.
        roster: Digest of the roster of signing keys of the run.
        policy: Digest of the policy that the evidence is held against.
        devices: Digests of the evidence of GPUs, by their order.
        log: Digest of the event log; empty where there is none.
    """

    format: Literal["hanse-claims-1"] = "hanse-claims-1"
    purpose: Literal["run", "release"]
    verifier: Digest
    nonce: Digest
    federation: Name
    role: Literal["aggregator", "collaborator"]
    name: Name
    signer: Digest
    seal: Key
    speak: Key
    run: Name
    plan: Digest
    roster: Digest
    policy: Digest
    devices: tuple[Digest, ...] = Field((), max_length=16)
    log: Digest | Literal[""] = ""


def report_data(claims: Claims, kind: Kind) -> bytes:
    """The bytes that a device of a kind states the claims by.

    Returns:
        SHA-512 of the claims' canonical JSON for SGX, TDX and SNP, 64 bytes; SHA-256 for a TPM, whose
        qualifying data takes no more. A GPU has a nonce of its own, from `gpu_nonce`.
    """
    if kind is Kind.GPU:
        return gpu_nonce(claims.nonce, claims.seal)
    written = canonical_json(claims.model_dump(mode="json"))
    return (hashlib.sha256 if kind is Kind.TPM else hashlib.sha512)(written).digest()


def gpu_nonce(nonce: str, seal: str) -> bytes:
    """The nonce of a GPU's report, 32 bytes: bound to the verifier's nonce and to the instance."""
    return hashlib.sha256(canonical_json(["hanse/gpu", nonce, seal])).digest()
