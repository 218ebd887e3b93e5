"""Bytes grouped by significance, then Zstandard (RFC 8878); loses nothing.

Of a vector the first bytes of all numbers come first, then all second ones, and
so on: signs and exponents are alike, and compress. Masui et al. (2015), "A
compression scheme for radio data in high performance computing", Astronomy and
Computing 12, section 3, has it for bits; https://arxiv.org/abs/1503.00638.

One frame a segment, whose length is known: nothing that a stranger writes makes
it longer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_WINDOW = 1 << 10
"""Smallest window that a frame can ask for."""


def compressed_bound(size: int) -> int:
    """Most bytes that a frame of `size` bytes takes (ZSTD_COMPRESSBOUND of zstd.h)."""
    return size + (size >> 8) + max(((1 << 17) - size) >> 11, 0)


def compress(vectors: Sequence[Array], level: int) -> Array:
    """Write vectors, contiguous ones, as one frame.

    Args:
        vectors: Of any dtypes.
        level: From 1 to 19.
    """
    import zstandard  # only where a plan asks for it

    planes = np.concatenate([_planes(vector).reshape(-1) for vector in vectors])
    frame = zstandard.ZstdCompressor(level=level).compress(planes.data)
    return np.frombuffer(frame, np.uint8)


def decompress(frame: Array, size: int) -> Array:
    """The bytes that a frame holds, still grouped; from anybody.

    Args:
        frame: uint8, contiguous.
        size: How many bytes it has to hold.

    Raises:
        UpdateError: It is no single whole frame of exactly that many bytes.
    """
    import zstandard

    try:
        stated = zstandard.get_frame_parameters(frame.data)
        # Looked at first: what a frame states is what would be allocated for it.
        if stated.content_size != size or stated.window_size > max(size, _WINDOW) or stated.dict_id:
            raise UpdateError(f"a frame states other than the {size} bytes that are due")
        data = zstandard.ZstdDecompressor().decompress(frame.data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise UpdateError(f"a frame cannot be decompressed: {error}") from error
    if len(data) != size:
        raise UpdateError(f"a frame holds {len(data)} bytes where {size} are due")
    return np.frombuffer(data, np.uint8)


def ungroup(planes: Array, dtype: str, size: int) -> Array:
    """A vector of its grouped bytes."""
    target = np.dtype(dtype) if not dtype.startswith("bfloat") else np.dtype(np.uint16)
    if target.itemsize == 1:
        return planes.view(target)
    whole = np.empty(size, f"<u{target.itemsize}")
    rows = planes.reshape(target.itemsize, size)
    # By shifts: copying to every fourth byte takes four times as long.
    np.copyto(whole, rows[-1])
    for row in rows[-2::-1]:
        whole <<= whole.dtype.type(8)
        whole |= row
    return whole


def _planes(vector: Array) -> Array:
    raw = vector.view(np.uint8)
    return raw if vector.itemsize == 1 else raw.reshape(-1, vector.itemsize).T
