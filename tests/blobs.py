"""How models and updates are named, where a plan says nothing else."""

from __future__ import annotations

from hanse.core.digests import digest_of_bytes


def named(data: bytes) -> str:
    """The digest of a blob's content."""
    return digest_of_bytes(data, "blake3")
