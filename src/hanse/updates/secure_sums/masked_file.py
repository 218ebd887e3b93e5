"""From the file of q to the file that is sent, block by block."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hanse.core.values.digests import Algorithm, Hasher
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.masks import MaskKey, mask_in_place
from hanse.updates.secure_sums.vector_file import blocks_of, open_vector, write_vector

_AHEAD = min(os.cpu_count() or 1, 4)
"""Blocks that are masked before the one that is written."""


@dataclass(frozen=True, slots=True)
class WrittenMasked:
    """A masked vector that was written.

    Attributes:
        q_digest: Digest of the words of q as they were read: with another one than the site has committed
            to, y must not be recorded or sent.
        digest: Digest of the file of y.
        size: Bytes of the file of y.
    """

    q_digest: str
    digest: str
    size: int


def write_masked(
    q_path: Path, y_path: Path, layout: Layout, keys: Sequence[MaskKey], algorithm: Algorithm
) -> WrittenMasked:
    """Mask q for one roster; y is durable when this returns.

    Args:
        q_path: The file of q.
        y_path: Where to put y; it appears whole or not at all.
        layout: Of the vector.
        keys: One for each peer.
        algorithm: What makes the digests.

    Raises:
        UpdateError: The file of q is not a vector of that layout.
        StorageError: A file cannot be read or written.
        ValueError: There is no key.
    """
    if not keys:
        raise ValueError("without a key for a peer nothing is masked")
    q, hasher = open_vector(q_path, layout), Hasher(algorithm)
    written = write_vector(y_path, layout, _masked(q, keys, hasher), algorithm, durable=True)
    return WrittenMasked(hasher.digest(), written.digest, written.size)


def _masked(q: Words, keys: Sequence[MaskKey], hasher: Hasher) -> Iterator[Words]:
    """The masked blocks in order; those after are computed meanwhile."""
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="mask") as pool:
        ahead: deque[Future[Words]] = deque()
        for number, block in enumerate(blocks_of(q)):
            # A copy: what is hashed has to be what is masked, though the file changed in between.
            taken = block.copy()
            hasher.update(taken.data.cast("B"))
            ahead.append(pool.submit(_mask, taken, number, keys))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _mask(taken: Words, number: int, keys: Sequence[MaskKey]) -> Words:
    mask_in_place(taken, number, keys)
    return taken
