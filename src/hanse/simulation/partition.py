"""How a simulation deals one data set out to its sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanse.core.values.seeds import derive
from hanse.core.values.site import Indices
from hanse.errors import ConfigError


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
        """The part of one site.

        Args:
            index: The site, from 0 to `count` - 1.
            count: Number of sites.
            seed: The same for all of them.

        Returns:
            A function from labels, shape (examples,), to the site's examples: increasing
            indices. Over all sites every example comes exactly once.
        """

        def indices(labels: npt.ArrayLike) -> Indices:
            values = np.asarray(labels)
            if values.ndim != 1:
                raise ValueError(f"labels must have shape (examples,), got {values.shape}")
            random = np.random.default_rng(derive(seed, "partition", count))
            owners = self._owners(values, count, random)
            return np.flatnonzero(owners == index).astype(np.int64)

        return indices

    def _owners(self, labels: npt.NDArray[np.generic], count: int, random: np.random.Generator) -> Indices:
        """The site of each example."""
        owners = np.empty(len(labels), dtype=np.int64)
        if self.alpha is None:
            owners[random.permutation(len(labels))] = np.arange(len(labels)) % count
            return owners
        # Label by label, in proportions drawn from a Dirichlet distribution (Hsu et al. 2019,
        # arXiv 1909.06335, section 3, in the per-label form of NIID-Bench, arXiv 2102.02079).
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            shares = random.dirichlet(np.full(count, self.alpha))
            bounds = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            for site, part in enumerate(np.split(members, bounds)):
                owners[part] = site
        return owners
