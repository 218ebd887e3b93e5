"""Sparse ternary compression: few numbers, each plus or minus one magnitude.

Sattler, Wiedemann, Müller and Samek (2019), "Robust and Communication-Efficient
Federated Learning from Non-IID Data", IEEE TNNLS 31(9), section V, Algorithm 1;
https://arxiv.org/abs/1903.02891. The indices are coded as in
`hanse.compression.indices`, not by Golomb's code as in section V-C. What is left
out is fed back (`hanse.compression.update`), equation 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse.compression.base import Layout, Step, Vector, largest, norm
from hanse.compression.indices import decode_indices, encode_indices, indices_size
from hanse.compression.sparsify import kept, largest_indices, scatter
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


@dataclass(frozen=True, slots=True)
class TernaryStep(Step):
    """The numbers of largest magnitude, as their signs times the mean of their magnitudes.

    Attributes:
        fraction: Part of the numbers that is kept, rounded up.
    """

    fraction: float

    def layout(self, like: Vector) -> Layout:
        """The magnitude, the indices and a bit a sign."""
        count = kept(self.fraction, like.size)
        indices = Vector("uint8", indices_size(count, like.size))
        return Layout((Vector(like.dtype, 1), indices, Vector("uint8", -(-count // 8))))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Choose, and take the mean."""
        indices = largest_indices(values, kept(self.fraction, values.size))
        chosen = values[indices]
        # Scaled: a sum of large numbers would overflow.
        top = largest(chosen)
        mean = float(np.mean(np.abs(chosen) / top, dtype=np.float64)) * top if top else 0.0
        magnitude = np.array([min(mean, top)], values.dtype)
        return [magnitude, encode_indices(indices, values.size), np.packbits(chosen < 0)], None

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Put the magnitudes where they were."""
        magnitude, indices, packed = parts
        if not (np.isfinite(magnitude[0]) and magnitude[0] >= 0):
            raise UpdateError("the magnitude is not a finite number of at least 0")
        count = kept(self.fraction, like.size)
        signs = np.where(np.unpackbits(packed, count=count), -magnitude[0], magnitude[0])
        return scatter(decode_indices(indices, count, like.size), signs, like)

    def error_bound(self, values: Array) -> float:
        """The root of `|x|^2 - |top|_1^2 / k`: less than the norm, as far as the k largest weigh."""
        count = kept(self.fraction, values.size)
        whole = norm(values)
        if not whole:
            return 0.0
        # In float64: where all that counts is kept, next to nothing is left of the difference below.
        top = np.abs(values[largest_indices(values, count)].astype(np.float64)) / whole
        part = float(np.sum(top)) ** 2 / count
        return whole * (math.sqrt(max(1 - part, 0)) + 2.0**-20)
