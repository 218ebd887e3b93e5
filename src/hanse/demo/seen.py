"""Numbers that an aggregator saw of one site in masked sums, as histograms beside those of the sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hanse.privacy.secagg.grid import Words

BINS = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """Histograms of words of a ring, over all of the ring from its least number to its largest.

    Attributes:
        site: Name of the site.
        members: Number of sites whose vectors were added.
        upload: Words of the site's masked vectors in each of `BINS` equal parts of the ring.
        sums: Words of the sums in each of these parts.
    """

    site: str
    members: int
    upload: tuple[int, ...]
    sums: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Count of the numbers that the site sent."""
        return sum(self.upload)

    @property
    def around_zero(self) -> tuple[float, float]:
        """Part of the numbers that lies in the two middle parts of the ring: of the site, of the sums."""
        middle = slice(BINS // 2 - 1, BINS // 2 + 1)
        upload, sums = (sum(counts[middle]) / max(sum(counts), 1) for counts in (self.upload, self.sums))
        return upload, sums


def histogram(vectors: Iterable[Words]) -> tuple[int, ...]:
    """Count words in `BINS` equal parts of their ring, the words read as signed numbers.

    Args:
        vectors: Words of the ring, `<u4` or `<u8`.
    """
    counts = np.zeros(BINS, np.int64)
    for words in vectors:
        # The first bits of a word say in which part it is; with the sign bit turned over, in signed order.
        first = (words >> np.array(8 * words.itemsize - 4, words.dtype)).astype(np.int64)
        counts += np.bincount((first + BINS // 2) % BINS, minlength=BINS)
    return tuple(int(count) for count in counts)
