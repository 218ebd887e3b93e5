"""Binding of evidence to claims: the bytes that a device states."""

from __future__ import annotations

import hashlib

from hanse.attestation.base import Kind
from hanse.core.values.canonical import canonical_json
from hanse.core.values.evidence.claims import Claims

__all__ = ["Claims", "gpu_nonce", "report_data"]


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
