"""The sites' shares of one data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt

from hanse.core.values.site import Indices
from hanse.simulation.partition import Dealer, Partition


class Shares:
    """Deals the sites' shares of one data set, and notes who asks for one."""

    def __init__(self, partition: Partition | None, count: int, seed: int) -> None:
        """Deal out to `count` sites by `partition`, or not at all; `seed` decides who gets what."""
        self.partition = partition
        self.seed = seed
        self._dealer = None if partition is None else Dealer(partition, count, seed)
        self.asked: set[str] = set()

    def share(self, site: str, index: int) -> Callable[[npt.ArrayLike], Indices] | None:
        """Make `Site.partition` of a site."""
        if self._dealer is None:
            return None
        share = self._dealer.share(index)

        def noted(labels: npt.ArrayLike) -> Indices:
            self.asked.add(site)
            return share(labels)

        return noted
