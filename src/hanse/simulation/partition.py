"""How a simulation deals one data set out to its sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanse.core.values.seeds import derive
from hanse.core.values.site import Indices
from hanse.errors import ConfigError

_MOST_REMEMBERED = 4
"""Data sets that a dealer remembers: those of training, validation and test, say."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A way to deal examples out.

    Attributes:
        alpha: Concentration of the Dirichlet distribution over labels, above 0; small values
            give each site few labels. None deals out at random, in equal parts.
    """

    alpha: float | None = None

    @staticmethod
    def parse(text: str) -> Partition:
        """Read `iid` or `dirichlet:ALPHA`.

        Raises:
            ConfigError: It is neither.
        """
        if text == "iid":
            return Partition()
        kind, _, value = text.partition(":")
        try:
            alpha = float(value)
        except ValueError:
            alpha = 0.0
        if kind != "dirichlet" or not 0 < alpha < float("inf"):
            raise ConfigError(
                f"{text!r} is not a partition", mend="Write `iid`, or `dirichlet:ALPHA` with ALPHA above 0."
            )
        return Partition(alpha)

    def share(self, index: int, count: int, seed: int) -> Callable[[npt.ArrayLike], Indices]:
        """The part of one site; `Dealer` serves many sites.

        Args:
            index: The site, from 0 to `count` - 1.
            count: Number of sites.
            seed: The same for all of them.

        Returns:
            A function from labels, shape (examples,), to the site's examples: increasing
            indices. Over all sites every example comes exactly once.
        """
        return Dealer(self, count, seed).share(index)

    def owners(self, labels: npt.NDArray[np.generic], count: int, seed: int) -> Indices:
        """The site of each example.

        Args:
            labels: One label an example, shape (examples,).
            count: Number of sites.
            seed: Decides who gets what.
        """
        random = np.random.default_rng(derive(seed, "partition", count))
        owners = np.empty(len(labels), dtype=np.int64)
        if self.alpha is None:
            owners[random.permutation(len(labels))] = np.arange(len(labels)) % count
            return owners
        # Label by label, in proportions drawn from a Dirichlet distribution (Hsu et al. 2019,
        # arXiv 1909.06335, section 3, in the per-label form of NIID-Bench, arXiv 2102.02079).
        # By their numbers: a NaN, of an example without a label, is not equal to itself.
        _, numbers = np.unique(labels, return_inverse=True)
        for number in range(numbers.max(initial=-1) + 1):
            members = random.permutation(np.flatnonzero(numbers == number))
            shares = random.dirichlet(np.full(count, self.alpha))
            bounds = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            sizes = np.diff(bounds, prepend=0, append=len(members))
            owners[members] = np.repeat(np.arange(count), sizes)
        return owners


@dataclass(frozen=True, slots=True, eq=False)
class _Deal:
    """One data set, dealt out.

    Attributes:
        labels: A copy of the labels.
        order: All examples, by site and within a site increasing.
        bounds: Where the part of each site begins in `order`; and the end.
    """

    labels: npt.NDArray[np.generic]
    order: Indices
    bounds: Indices

    def part(self, index: int) -> Indices:
        return self.order[self.bounds[index] : self.bounds[index + 1]].copy()


class Dealer:
    """Deals data sets out to all sites of a simulation, each data set once.

    The sites ask one after another with the same labels. A site's part then costs a comparison of
    the labels, whatever the number of sites. The last few data sets are remembered.
    """

    def __init__(self, partition: Partition, count: int, seed: int) -> None:
        """Deal out to `count` sites; `seed` decides who gets what."""
        self._partition = partition
        self._count = count
        self._seed = seed
        self._deals: list[_Deal] = []

    def share(self, index: int) -> Callable[[npt.ArrayLike], Indices]:
        """The part of one site, from 0 to `count` - 1; see `Partition.share`."""

        def indices(labels: npt.ArrayLike) -> Indices:
            if np.ma.is_masked(labels):
                raise ValueError("labels are masked: give those of the examples that have one, or filled()")
            return self._deal(np.asarray(labels)).part(index)

        return indices

    def _deal(self, labels: npt.NDArray[np.generic]) -> _Deal:
        if labels.ndim != 1:
            raise ValueError(f"labels must have shape (examples,), got {labels.shape}")
        for deal in self._deals:
            if deal.labels.dtype == labels.dtype and np.array_equal(deal.labels, labels):
                return deal
        owners = self._partition.owners(labels, self._count, self._seed)
        order = np.argsort(owners, kind="stable").astype(np.int64)
        bounds = np.searchsorted(owners[order], np.arange(self._count + 1)).astype(np.int64)
        made = _Deal(labels.copy(), order, bounds)
        self._deals = [made, *self._deals[: _MOST_REMEMBERED - 1]]
        return made
