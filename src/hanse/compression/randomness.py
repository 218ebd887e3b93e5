"""Random numbers from a seed: the same on every machine and with every version of NumPy.

Only the raw output of a bit generator is promised to stay, so only that is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hanse.core.values.parameters import Array


def raw16(seed: int, size: int) -> Array:
    """So many random uint16."""
    raw = np.random.SFC64(seed).random_raw(-(-size // 4))
    return np.asarray(raw).astype("<u8", copy=False).view("<u2")[:size]


def uniform(seed: int, size: int, dtype: np.dtype[Any]) -> Array:
    """So many numbers from the middles of 65,536 equal parts of the interval from 0 to 1."""
    numbers = raw16(seed, size).astype(dtype)
    numbers += 0.5
    numbers *= 2.0**-16
    return numbers


def random_bits(seed: int, size: int) -> Array:
    """So many uint8, each 0 or 1."""
    return np.unpackbits(raw16(seed, -(-size // 16)).view(np.uint8), count=size)
