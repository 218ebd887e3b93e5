"""Partitions: one data set, dealt out to the sites of a simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.core.values.seeds import derive
from hanse.core.values.site import Indices
from hanse.errors import ConfigError

Values = npt.NDArray[np.generic]

_MOST_REMEMBERED = 4
"""Data sets that a dealer remembers: those of training, validation and test, say."""
_MOST_SHARDS = 1_000_000

FORMS = "iid, dirichlet:ALPHA, quantity:ALPHA, shards:K or column:NAME"
"""The forms in which a partition is written."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A way to deal examples out.

    Attributes:
        kind: One of

            - `iid`: at random, in equal parts;
            - `dirichlet`: label by label, in proportions drawn from a Dirichlet distribution;
            - `quantity`: at random, in parts whose sizes are drawn from a Dirichlet distribution;
            - `shards`: sorted by label, cut into equal shards, and so many shards for each site;
            - `column`: all examples with the same value in a column to the same site.
        parameter: Of `dirichlet` and `quantity` the concentration, above 0: small values give parts
            that differ much. Of `shards` the shards of a site, at least 1. Of `column` the column's name.
    """

    kind: str = "iid"
    parameter: float | int | str | None = None

    @staticmethod
    def parse(text: str) -> Partition:
        """Read a partition in one of the `FORMS`.

        Raises:
            ConfigError: It is none of them.
        """
        kind, _, value = text.partition(":")
        parameter = _parameter(kind, value)
        if text != "iid" and parameter is None:
            raise ConfigError(
                f"{text!r} is not a partition",
                mend=f"Write {FORMS}, with ALPHA above 0 and K a whole number from 1.",
            )
        return Partition(kind, parameter)

    def __str__(self) -> str:
        """As `parse` reads it."""
        return self.kind if self.parameter is None else f"{self.kind}:{self.parameter}"

    def share(self, index: int, count: int, seed: int) -> Callable[..., Indices]:
        """The part of one site; `Dealer` serves many sites.

        Args:
            index: The site, from 0 to `count` - 1.
            count: Number of sites.
            seed: The same for all of them.

        Returns:
            A function from labels, shape (examples,), to the site's examples: increasing
            indices. Over all sites every example comes exactly once.
        """
        return Dealer(self, [str(number) for number in range(count)], seed).share(index)

    def values(self, labels: npt.ArrayLike, table: Any = None) -> Values:
        """The value of each example that decides its site: its label, or its value in the column.

        Args:
            labels: One label an example, shape (examples,).
            table: Columns by name, where the partition asks for one.

        Raises:
            ConfigError: The table is not given, or lacks the column.
            ValueError: Labels or column have another shape, or masked or missing values.
        """
        if np.ma.is_masked(labels):
            raise ValueError("labels are masked: give those of the examples that have one, or filled()")
        found: Values = np.asarray(labels)
        if found.ndim != 1:
            raise ValueError(f"labels must have shape (examples,), got {found.shape}")
        if self.kind != "column":
            return found
        column = _column(table, str(self.parameter))
        if column.shape != found.shape:
            raise ValueError(
                f"the column {self.parameter!r} has shape {column.shape}, and the labels {found.shape}"
            )
        return column

    def owners(self, values: Values, names: Sequence[str], seed: int) -> Indices:
        """The site of each example.

        Args:
            values: See `values`; one an example.
            names: Names of the sites, in site order.
            seed: Decides who gets what.
        """
        count = len(names)
        random = np.random.default_rng(derive(seed, "partition", count))
        match self.kind:
            case "dirichlet":
                return _by_label(values, count, float(self.parameter or 0), random)
            case "quantity":
                shares = random.dirichlet(np.full(count, float(self.parameter or 0)))
                owners = np.empty(len(values), dtype=np.int64)
                owners[random.permutation(len(values))] = _repeated(shares, len(values))
                return owners
            case "shards":
                return _by_shard(values, count, int(self.parameter or 0), random)
            case "column":
                return _by_value(values, names)
            case _:
                owners = np.empty(len(values), dtype=np.int64)
                owners[random.permutation(len(values))] = np.arange(len(values)) % count
                return owners


def _parameter(kind: str, value: str) -> float | int | str | None:
    """The parameter of a partition; None where there is none of the kind."""
    if kind == "column":
        return value or None
    try:
        if kind == "shards":
            return int(value) if 0 < int(value) <= _MOST_SHARDS else None
        if kind in ("dirichlet", "quantity"):
            return float(value) if 0 < float(value) < math.inf else None
    except ValueError:
        pass
    return None


def _repeated(shares: npt.NDArray[np.float64], size: int) -> Indices:
    """Sites in order, each so often as is its share of `size`."""
    bounds = np.round(np.cumsum(shares)[:-1] * size).astype(np.int64)
    return np.repeat(np.arange(len(shares)), np.diff(bounds, prepend=0, append=size))


def _by_label(labels: Values, count: int, alpha: float, random: np.random.Generator) -> Indices:
    # Label by label, in proportions drawn from a Dirichlet distribution (Hsu et al. 2019,
    # arXiv 1909.06335, section 3, in the per-label form of NIID-Bench, arXiv 2102.02079).
    # By their numbers: a NaN, of an example without a label, is not equal to itself.
    owners = np.empty(len(labels), dtype=np.int64)
    _, numbers = np.unique(labels, return_inverse=True)
    for number in range(numbers.max(initial=-1) + 1):
        members = random.permutation(np.flatnonzero(numbers == number))
        shares = random.dirichlet(np.full(count, alpha))
        owners[members] = _repeated(shares, len(members))
    return owners


def _by_shard(labels: Values, count: int, shards: int, random: np.random.Generator) -> Indices:
    # McMahan et al. 2017, arXiv 1602.05629, section 3. Which examples of a label are together is random.
    mixed = random.permutation(len(labels))
    _, numbers = np.unique(labels, return_inverse=True)
    by_label = mixed[np.argsort(numbers[mixed], kind="stable")]
    sites = random.permutation(np.repeat(np.arange(count), shards))
    owners = np.empty(len(labels), dtype=np.int64)
    owners[by_label] = np.repeat(sites, [len(shard) for shard in np.array_split(by_label, count * shards)])
    return owners


def _by_value(column: Values, names: Sequence[str]) -> Indices:
    """A site for each value: the one of that name; else one after another; else the one with the least."""
    values, numbers, sizes = np.unique(column, return_inverse=True, return_counts=True)
    sites = {name: index for index, name in enumerate(names)}
    chosen = [sites.get(str(value)) for value in values]
    others = [number for number, site in enumerate(chosen) if site is None]
    free = [site for site in range(len(names)) if site not in chosen]
    if len(others) <= len(free):
        for number, site in zip(others, free, strict=False):
            chosen[number] = site
    else:
        filled = [int(sizes[[site == place for site in chosen]].sum()) for place in range(len(names))]
        for number in sorted(others, key=lambda number: -sizes[number]):
            chosen[number] = least = filled.index(min(filled))
            filled[least] += int(sizes[number])
    return np.asarray(chosen, dtype=np.int64)[numbers]


def _column(table: Any, name: str) -> Values:
    if table is None:
        raise ConfigError(
            f"--partition column:{name} looks at a column, and the code gives none to share()",
            mend="Write site.share(labels, table), with a data frame, a structured array or a dictionary.",
        )
    try:
        column = np.asarray(table[name])
    except (KeyError, IndexError, ValueError, TypeError):
        known = ", ".join(map(str, _columns(table)[:20])) or "none that can be read by name"
        raise ConfigError(f"the table given to share() has no column {name!r}; it has: {known}") from None
    missing = np.asarray([value is None or value != value for value in column.tolist()], dtype=bool)
    if missing.any():
        raise ValueError(f"{missing.sum()} examples have no value in the column {name!r}")
    # The values of a column of objects need not be of one kind.
    return column.astype(str) if column.dtype == object else column


def _columns(table: Any) -> list[Any]:
    names = getattr(getattr(table, "dtype", None), "names", None) or getattr(table, "columns", None)
    if names is None:
        names = table if isinstance(table, Mapping) else ()
    return list(names)


@dataclass(frozen=True, slots=True, eq=False)
class _Deal:
    """One data set, dealt out.

    Attributes:
        values: A copy of what decided who gets an example.
        order: All examples, by site and within a site increasing.
        bounds: Where the part of each site begins in `order`; and the end.
    """

    values: Values
    order: Indices
    bounds: Indices

    def part(self, index: int) -> Indices:
        return self.order[self.bounds[index] : self.bounds[index + 1]].copy()


class Dealer:
    """Deals data sets out to all sites of a simulation, each data set once.

    The sites ask one after another with the same labels. A site's part then costs a comparison of
    the labels, whatever the number of sites. The last few data sets are remembered.

    Args:
        partition: How.
        names: Names of the sites, in site order.
        seed: Decides who gets what.
        dealt: Called with the number of examples of each site, for each data set that is dealt out.
    """

    def __init__(
        self,
        partition: Partition,
        names: Sequence[str],
        seed: int,
        dealt: Callable[[Sequence[int]], object] | None = None,
    ) -> None:
        self._partition = partition
        self._names = names
        self._seed = seed
        self._dealt = dealt
        self._deals: list[_Deal] = []

    def share(self, index: int) -> Callable[..., Indices]:
        """The part of one site, from 0 on; see `Partition.share`."""

        def indices(labels: npt.ArrayLike, table: Any = None) -> Indices:
            return self._deal(self._partition.values(labels, table)).part(index)

        return indices

    def _deal(self, values: Values) -> _Deal:
        for deal in self._deals:
            if deal.values.dtype == values.dtype and np.array_equal(deal.values, values):
                return deal
        owners = self._partition.owners(values, self._names, self._seed)
        order = np.argsort(owners, kind="stable").astype(np.int64)
        bounds = np.searchsorted(owners[order], np.arange(len(self._names) + 1)).astype(np.int64)
        made = _Deal(values.copy(), order, bounds)
        self._deals = [made, *self._deals[: _MOST_REMEMBERED - 1]]
        if self._dealt is not None:
            self._dealt(np.diff(bounds).tolist())
        return made


def empty_parts(names: Sequence[str], sizes: Sequence[int]) -> tuple[str, ...]:
    """Names of the sites that were dealt no example."""
    return tuple(name for name, size in zip(names, sizes, strict=True) if not size)
