"""The largest numbers, or some drawn at random, in place of all.

Stich, Cordonnier and Jaggi (2018), "Sparsified SGD with Memory", NeurIPS,
Definitions 2.1 and 2.2; https://arxiv.org/abs/1809.07599. What makes up for the
numbers left out is in `hanse.compression.update`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse.compression.base import Layout, Step, Vector, largest, norm
from hanse.compression.indices import decode_indices, encode_indices, indices_size
from hanse.compression.randomness import uniform
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


def kept(fraction: float, size: int) -> int:
    """How many of `size` numbers are kept: at least one."""
    return min(max(math.ceil(fraction * size), 1), size)


def largest_indices(values: Array, count: int) -> Array:
    """Where the numbers of largest magnitude are, in order; of equal ones the first."""
    magnitudes = np.abs(values)
    threshold = np.partition(magnitudes, values.size - count)[values.size - count]
    above = np.flatnonzero(magnitudes > threshold)
    if above.size == count:
        return above
    equal = np.flatnonzero(magnitudes == threshold)[: count - above.size]
    return np.sort(np.concatenate([above, equal]))


def scatter(indices: Array, values: Array | float, like: Vector) -> Array:
    """A vector of zeros, but for these."""
    full = np.zeros(like.size, like.dtype)
    full[indices] = values
    return full


@dataclass(frozen=True, slots=True)
class TopKStep(Step):
    """Keeps the numbers of largest magnitude, exactly (Definition 2.2, top_k).

    Attributes:
        fraction: Part of the numbers that is kept, rounded up.
    """

    fraction: float

    def layout(self, like: Vector) -> Layout:
        """Indices, and the numbers as the rest."""
        count = kept(self.fraction, like.size)
        return Layout((Vector("uint8", indices_size(count, like.size)),), count)

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Choose."""
        indices = largest_indices(values, kept(self.fraction, values.size))
        return [encode_indices(indices, values.size)], values[indices]

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Put the numbers where they were."""
        assert rest is not None
        return scatter(decode_indices(parts[0], rest.size, like.size), rest, like)

    def error_bound(self, values: Array) -> float:
        """The norm, times the root of the part left out: those are the smallest ones."""
        return norm(values) * math.sqrt(1 - kept(self.fraction, values.size) / values.size)


@dataclass(frozen=True, slots=True)
class RandomKStep(Step):
    """Keeps numbers drawn at random (Definition 2.2, rand_k); nobody has to be told which.

    One number of each of k strata of consecutive ones, whose lengths differ by
    at most 1: each is as likely to be drawn as if k of all were, and to draw
    takes time in proportion to k.

    Attributes:
        fraction: Part of the numbers that is kept, rounded up.
        scaled: Whether what is kept is multiplied by the length of its stratum, which makes it
            right on average; what feeds its error back goes without.
    """

    fraction: float
    scaled: bool

    def layout(self, like: Vector) -> Layout:
        """Nothing but the numbers, as the rest."""
        return Layout((), kept(self.fraction, like.size))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Draw."""
        indices, lengths = self.draw(values.size, seed)
        drawn = values[indices]
        if not self.scaled:
            return [], drawn
        if largest(values) > float(np.finfo(values.dtype).max) / int(lengths.max()):
            raise UpdateError("it has numbers that are too large to be scaled up", mend="Use `top_k`.")
        return [], drawn * lengths.astype(values.dtype)

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Draw the same, and put the numbers where they were."""
        assert rest is not None
        return scatter(self.draw(like.size, seed)[0], rest, like)

    def error_bound(self, values: Array) -> float:
        """The norm; where it scales up, times the length of the longest stratum less 1 (at least 1)."""
        if not self.scaled:
            return norm(values)
        longest = -(-values.size // kept(self.fraction, values.size))
        return norm(values) * max(longest - 1, 1) * (1 + 2.0**-20)

    def draw(self, size: int, seed: int) -> tuple[Array, Array]:
        """Draw from a vector.

        Args:
            size: Length of the vector.
            seed: As for `encode`.

        Returns:
            Indices, increasing, and the length of the stratum of each.
        """
        count = kept(self.fraction, size)
        ends = np.arange(1, count + 1, dtype=np.int64) * size // count
        lengths = np.diff(ends, prepend=0)
        # 32 random bits: a stratum may be as long as a segment.
        fine = uniform(seed, 2 * count, np.dtype(np.float64)).reshape(count, 2)
        offsets = ((fine[:, 0] + fine[:, 1] * 2.0**-16 - 2.0**-17) * lengths).astype(np.int64)
        return ends - lengths + np.clip(offsets, 0, lengths - 1), lengths
