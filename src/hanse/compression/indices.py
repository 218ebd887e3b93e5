"""Which numbers of a segment were sent, in two bits each and the logarithm of how rare they are.

Elias (1974), "Efficient Storage and Retrieval by Content and Address of Static
Files", J. ACM 21(2), section 4; Fano (1971). Sorted indices are split: of each
the lower bits are written as they are, the upper ones by a bit that stands
where its index falls. Within half a bit of what Golomb coding takes, but of a
length that is known beforehand, and read without a loop.
"""

from __future__ import annotations

import numpy as np

from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


def indices_size(count: int, size: int) -> int:
    """Bytes that `count` indices below `size` take."""
    low = _low_bits(count, size)
    return -(-count * low // 8) + -(-_high_size(count, size, low) // 8)


def encode_indices(indices: Array, size: int) -> Array:
    """Write indices.

    Args:
        indices: Strictly increasing, at least 0 and below `size`; not empty.
        size: Length of the vector that they point into.
    """
    count, low = indices.size, _low_bits(indices.size, size)
    wide = indices.astype(np.uint32)
    bits = np.zeros(_high_size(count, size, low), np.uint8)
    bits[(wide >> np.uint32(low)) + np.arange(count, dtype=np.uint32)] = 1
    lower = (wide[:, None] >> np.arange(low, dtype=np.uint32)) & np.uint32(1)
    return np.concatenate([np.packbits(lower.astype(np.uint8)), np.packbits(bits)])


def decode_indices(data: Array, count: int, size: int) -> Array:
    """Read indices, from anybody.

    Args:
        data: `indices_size(count, size)` bytes.
        count: How many there are, at least 1.
        size: What they have to be below.

    Returns:
        Strictly increasing int64.

    Raises:
        UpdateError: They are not.
    """
    low = _low_bits(count, size)
    split = -(-count * low // 8)
    upper = np.flatnonzero(np.unpackbits(data[split:], count=_high_size(count, size, low)))
    if upper.size != count:
        raise UpdateError(f"{upper.size} indices where {count} are due")
    lower = np.unpackbits(data[:split], count=count * low).reshape(count, low)
    indices = (upper - np.arange(count)) << low
    for bit in range(low):
        indices += lower[:, bit].astype(np.int64) << bit
    if not (np.diff(indices) > 0).all() or indices[-1] >= size:
        raise UpdateError("the indices are not increasing, or point beyond the tensor")
    return indices


def _low_bits(count: int, size: int) -> int:
    """Bits of an index that are written as they are: one less than how rare indices are, in bits."""
    return max((size // count).bit_length() - 1, 0)


def _high_size(count: int, size: int, low: int) -> int:
    return count + (max(size - 1, 0) >> low) + 1
