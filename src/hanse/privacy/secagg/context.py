"""Digests that bind a masked vector to what it means, and a site to one vector an exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hanse.core.values.canonical import digest_of
from hanse.core.values.sums.ready import SUITE

_CONTEXT = "hanse/secagg/v1/context"
_COMMITMENT = b"hanse/secagg/v1/q"
_CODEC = b"hanse/secagg/v1/codec"
_PATH = b"hanse/secagg/v1/path"

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class SumContext:
    """All that decides what the numbers of an exchange mean, and is the same at every member.

    Attributes:
        federation: Name of the federation.
        run_id: The run.
        submitted_ms: When it was submitted, in milliseconds since 1970.
        plan_digest: Of the plan.
        round_number: Of the round.
        exchange: Number of the exchange in the run.
        counted: The exchange whose local state all members start from; 0 for none.
        task: Name of the task.
        model: Digest of the model that was received; None without one.
        groups: Digest of each group that was received, by name.
        settings: Settings of the ask, as the assignment has them: 1 and 1.0 are two values.
        cells: Cells of the ask; None for all.
        cell: The cell of this member.
        members: Names of its members, sorted.
        colluders: c, as the plan has it.
        layout: Digest of the layout.
    """

    federation: str
    run_id: str
    submitted_ms: int
    plan_digest: str
    round_number: int
    exchange: int
    counted: int
    task: str
    model: str | None
    groups: Mapping[str, str]
    settings: Mapping[str, int | float]
    cells: tuple[str, ...] | None
    cell: str
    members: tuple[str, ...]
    colluders: int
    layout: str

    @property
    def digest(self) -> str:
        """SHA-256, 64 hexadecimal characters."""
        stated: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        stated |= {"label": _CONTEXT, "suite": SUITE, "members": sorted(self.members)}
        stated |= {"groups": dict(self.groups), "settings": dict(self.settings)}
        return digest_of(stated)


def commitment(salt: bytes, words_digest: str) -> str:
    """Commitment that binds a site to its vector without disclosing it.

    Args:
        salt: `SALT_BYTES` random bytes, drawn once an exchange and kept beside the vector.
        words_digest: Digest of the vector's words, as blobs have it.

    Returns:
        SHA-256, 64 hexadecimal characters.
    """
    return _hashed(_COMMITMENT, _salted(salt), bytes.fromhex(words_digest[:64])).hex()


def codec_seed(context: str, step: str) -> int:
    """Seed of what all members choose alike at random in one step of compression.

    Follows from the context and from nothing that one member alone is sent: with indices of its own, a
    member would be the only one in the coordinates that the others leave out.

    Returns:
        A whole number from 0 to 2**63 - 1.
    """
    return int.from_bytes(_hashed(_CODEC, bytes.fromhex(context), step.encode())[:8], "big") >> 1


def path_digest(salt: bytes, path: str) -> str:
    """A path as a site's journal names it: the head of the journal leaves, and paths could be guessed.

    Args:
        salt: `SALT_BYTES` random bytes of the site's folder, always the same ones.
        path: The resolved path.
    """
    return _hashed(_PATH, _salted(salt), path.encode("utf-8", "surrogateescape")).hex()


def _salted(salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return salt


def _hashed(label: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(label + b"\0" + b"".join(parts)).digest()
