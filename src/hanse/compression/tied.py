"""Tensors of one update that are the same numbers under several names, as tied weights are."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from hanse.compression.chain import Chain
from hanse.compression.eden import EdenStep
from hanse.compression.rotate import RotateStep
from hanse.compression.sparsify import RandomKStep
from hanse.core.values.parameters import Array, same_bits

_DECODED_BY_SEED = (EdenStep, RandomKStep, RotateStep)
"""Steps whose decoding needs the seed of the encoding, which follows from the tensor's own name."""


class TiedTensors:
    """Finds, as an update is encoded, tensors that came before under another name.

    Rounded by the same random numbers they stay the same bits; by those of their own names they would come
    apart, and no model could have both.

    Args:
        chain: What encodes them; where its decoding needs the seed, each tensor keeps its own.
    """

    def __init__(self, chain: Chain) -> None:
        self._apart = any(isinstance(step, _DECODED_BY_SEED) for step in chain.steps)
        self._seen: defaultdict[tuple[object, ...], list[tuple[str, Array]]] = defaultdict(list)

    def first(self, name: str, array: Array) -> str:
        """Name of the first tensor with exactly these numbers; the name itself where there is none."""
        if self._apart:
            return name
        flat = np.ascontiguousarray(array).reshape(-1)
        alike = self._seen[array.shape, array.dtype.name, flat[:16].tobytes()]
        for other, numbers in alike:
            if same_bits(flat, numbers):
                return other
        alike.append((name, flat))
        return name
