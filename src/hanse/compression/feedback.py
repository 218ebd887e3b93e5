"""What compression left out, added to the next update.

Karimireddy, Rebjock, Stich and Jaggi (2019), "Error Feedback Fixes SignSGD and
other Gradient Compression Schemes", ICML, Algorithm 1; https://arxiv.org/abs/1901.09847.
Without it, what is never among the largest is never learned.
"""

from __future__ import annotations

import numpy as np

from hanse.core.values.parameters import Array


def corrected(update: Array, memory: Array | None) -> Array:
    """What is compressed: the update and what was left out before (line 4: p = g + e)."""
    return update if memory is None else np.asarray(update + memory)


def left_out(corrected: Array, sent: Array) -> Array:
    """What the next update makes up for (line 6: e' = p - C(p))."""
    return np.asarray(corrected - sent.astype(corrected.dtype, copy=False))
