"""The sites' shares of one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.core.values.site import Indices
from hanse.core.values.wording import named
from hanse.simulation.notices import Say
from hanse.simulation.partition import Dealer, Partition, empty_parts

MOST_LABELS = 20
"""Labels of a data set of which each site's examples are counted."""


class Shares:
    """Deals the sites' shares of one data set, notes who asks for one, and announces empty ones.

    Args:
        partition: How; None for not at all.
        names: Names of the sites, in site order.
        seed: Decides who gets what.
        say: Shows a line to the person who simulates.

    Attributes:
        held: How many examples of each label a site was dealt, by site, then by label; of several data
            sets that of the largest share. Without sites whose code is in another process.
    """

    def __init__(self, partition: Partition | None, names: Sequence[str], seed: int, say: Say) -> None:
        self.partition = partition
        self.names = names
        self.seed = seed
        self.asked: set[str] = set()
        self.held: dict[str, dict[str, int]] = {}
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
            mine = share(labels, table)
            counts = _counts(labels, mine)
            if sum(counts.values()) >= sum(self.held.get(site, {}).values()):
                self.held[site] = counts
            return mine

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


def _counts(labels: npt.ArrayLike, mine: Indices) -> dict[str, int]:
    """Examples of each label among these; empty where there are many labels, or none that can be sorted."""
    found = np.asarray(labels)
    try:
        known = np.unique(found)
    except TypeError:  # labels of several types
        return {}
    if len(known) > MOST_LABELS:
        return {}
    return {str(label): int(np.sum(found[mine] == label)) for label in known}
