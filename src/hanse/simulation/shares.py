"""The sites' shares of one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from hanse.core.values.site import Indices
from hanse.core.values.wording import named
from hanse.simulation.notices import Say
from hanse.simulation.partition import Dealer, Partition, empty_parts


class Shares:
    """Deals the sites' shares of one data set, notes who asks for one, and announces empty ones.

    Args:
        partition: How; None for not at all.
        names: Names of the sites, in site order.
        seed: Decides who gets what.
        say: Shows a line to the person who simulates.
    """

    def __init__(self, partition: Partition | None, names: Sequence[str], seed: int, say: Say) -> None:
        self.partition = partition
        self.names = names
        self.seed = seed
        self.asked: set[str] = set()
        self._say = say
        self._announced: set[str] = set()
        self._dealer = None if partition is None else Dealer(partition, names, seed, self._announce)

    def share(self, site: str, index: int) -> Callable[..., Indices] | None:
        """Make `Site.partition` of a site."""
        if self._dealer is None:
            return None
        share = self._dealer.share(index)

        def noted(labels: npt.ArrayLike, table: Any = None) -> Indices:
            self.asked.add(site)
            return share(labels, table)

        return noted

    def _announce(self, sizes: Sequence[int]) -> None:
        """Name the sites that get nothing of a data set: their code has to know what to do then."""
        if empty := empty_parts(self.names, sizes):
            were = "was" if len(empty) == 1 else "were"
            count = f"none of the {sum(sizes)} examples of a data set"
            self.announce(f"{named(empty)} {were} dealt {count} (--partition {self.partition})")

    def announce(self, text: str) -> None:
        """Show a line about the deal, once: sites in processes of their own all find the same."""
        if text not in self._announced:
            self._announced.add(text)
            self._say(text)
