"""Blobs of tests: their names, and how they come into a store."""

from __future__ import annotations

import io

from hanse.core.values.digests import Algorithm, digest_of_bytes
from hanse.storage.base import BlobStore


def named(data: bytes) -> str:
    """The digest of a blob's content, as models and updates are named where a plan says nothing else."""
    return digest_of_bytes(data, "blake3")


def put(store: BlobStore, data: bytes, algorithm: Algorithm = "sha256") -> str:
    """Store bytes and return their digest."""
    return store.copy(io.BytesIO(data), len(data), algorithm)
