"""Masks: a stream of words for each pair of members, added by one and subtracted by the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from hanse.privacy.secagg.grid import Words

BLOCK_BYTES = 1 << 20
"""Bytes of a block of words; each has its own counters, so that blocks can be masked in any order."""

LARGEST_VECTOR = 1 << 34
"""Bytes of a vector, at most: the bound on AES in counter mode grows with it."""

_COUNTERS_A_BLOCK = BLOCK_BYTES // 16
_ZEROS = memoryview(bytes(BLOCK_BYTES))
_PART_BYTES = 1 << 17
"""Bytes that are masked for all peers before the next, so that they stay in the processor's cache."""
_SLACK = 15
"""Bytes that the cipher wants behind what it writes."""


@dataclass(frozen=True, slots=True)
class MaskKey:
    """Key of one pair of members for one attempt.

    Attributes:
        key: 16 bytes, of AES-128.
        sign: 1 where this member adds the stream, -1 where it subtracts it.
    """

    key: bytes = field(repr=False)
    sign: int


def stream(key: bytes, block: int, size: int) -> bytes:
    """One block of the pseudorandom stream of a pair.

    Args:
        key: 16 bytes.
        block: Number of the block, from 0.
        size: Bytes of it, at most `BLOCK_BYTES`.

    Raises:
        ValueError: The block is too long, or beyond the largest vector.
    """
    _check_place(block, size)
    out = bytearray(size + _SLACK)
    block_stream(key, block).update_into(_ZEROS[:size], out)
    return bytes(out[:size])


def mask_block(words: Words, block: int, keys: Sequence[MaskKey]) -> Words:
    """Mask one block of a vector; memory of one block more.

    Args:
        words: The block, flat, `<u4` or `<u8`, all of `BLOCK_BYTES` but for the vector's last.
        block: Number of the block, from 0.
        keys: One for each peer.

    Returns:
        A new block of the same size and dtype.

    Raises:
        ValueError: See `stream`; or there is no key, so that the words would leave as they are.
    """
    masked = np.array(words)
    mask_in_place(masked, block, keys)
    return masked


def mask_in_place(words: Words, block: int, keys: Sequence[MaskKey]) -> None:
    """As `mask_block`, but the words themselves become the masked ones.

    Raises:
        ValueError: As `mask_block`; the words are as they were.
    """
    if not keys:
        raise ValueError("without a key for a peer nothing is masked")
    _check_place(block, words.nbytes)
    streams = [(block_stream(key.key, block), np.add if key.sign > 0 else np.subtract) for key in keys]
    size = min(_PART_BYTES, max(words.nbytes, words.itemsize))
    out = bytearray(size + _SLACK)
    masks: Words = np.frombuffer(out, words.dtype, count=size // words.itemsize)
    for begin in range(0, len(words), len(masks)):
        part = words[begin : begin + len(masks)]
        mask = masks[: len(part)]
        for stream_of_pair, combine in streams:
            stream_of_pair.update_into(_ZEROS[: part.nbytes], out)
            combine(part, mask, out=part)


def _check_place(block: int, size: int) -> None:
    if not 0 <= size <= BLOCK_BYTES or not 0 <= block < LARGEST_VECTOR // BLOCK_BYTES:
        raise ValueError(f"block {block} of {size} bytes is outside of what one key masks")


def block_stream(key: bytes, block: int) -> CipherContext:
    """One block of the stream of a pair, as a cipher that turns zeros into it."""
    counter = (_COUNTERS_A_BLOCK * block).to_bytes(16, "big")
    return Cipher(algorithms.AES128(key), modes.CTR(counter)).encryptor()


def add_block(total: Words, words: Words) -> None:
    """Add one member's block to the total of a cell, in place, modulo the ring."""
    np.add(total, words, out=total)
