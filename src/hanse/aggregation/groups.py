"""Groups of arrays, combined over sites: totals, means, medians, or each site's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.aggregation.fold import lazy_weighted_mean
from hanse.aggregation.registry import combine
from hanse.aggregation.running_mean import RunningMean
from hanse.core.plan.robust_rules import AnyRobustRule
from hanse.core.plan.tasks import GroupRule
from hanse.core.values.groups import Group, Groups, group_of, nested
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, Parameters, TensorSpec, in_words, mismatch, specs
from hanse.errors import UpdateError

Rules = Mapping[str, GroupRule]
"""The rule of each group."""

_BLOCK = 1 << 16
"""Numbers that are added at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """The combined groups of an exchange.

    Attributes:
        groups: Each group that is combined; its tensors may be computed where they are read.
        each: Of each group that is individual, every site's own.
    """

    groups: Groups = field(default_factory=dict)
    each: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)


class GroupFold:
    """Takes the groups of one site after another, in site order, and gives what they come to.

    Totals of whole numbers are taken in their dtype, those of others in float64, and stay float64. Means
    weigh sites alike, `weighted_mean` by number of examples; both keep the dtype.

    Args:
        rules: How each group is combined.
        streamed: Whether arrays hold only until the next site's are taken: then sums are taken as they
            come, in memory of one float64 for each number, and what has to be kept is copied. Else tensors
            are read where the result is, block by block. The bits are the same.
    """

    def __init__(self, rules: Rules, *, streamed: bool = False) -> None:
        self._rules = rules
        self._streamed = streamed
        self._sites: list[tuple[str, int]] = []
        self._kept: list[dict[str, Array]] = []
        """Tensors of each site that are needed at the end."""
        self._first: dict[str, TensorSpec] | None = None
        self._totals: dict[str, Array] = {}
        self._means = {rule: RunningMean() for rule in ("mean", "weighted_mean")}

    def add(self, site: str, num_examples: int, tensors: Parameters) -> None:
        """Take a site's groups.

        Args:
            site: The site.
            num_examples: Its number of examples.
            tensors: The tensors of its groups, named `@group` or `@group/array`.

        Raises:
            UpdateError: A total of whole numbers is too large for their dtype; names the tensor. Or its
                tensors are others than those of the first site.
        """
        self._sites.append((site, num_examples))
        self._check_like_the_first(tensors)
        if not self._streamed:
            self._kept.append(dict(tensors))
            return
        kept: dict[str, Array] = {}
        by_mean: dict[str, dict[str, Array]] = {"mean": {}, "weighted_mean": {}}
        for name, array in tensors.items():
            rule = self._rules[group_of(name)]
            if rule == "total":
                self._add_total(name, array)
            elif isinstance(rule, str) and rule in by_mean:
                by_mean[rule][name] = array
            else:
                kept[name] = np.array(array)
        self._kept.append(kept)
        for mean, arrays in by_mean.items():
            self._means[mean].add(arrays, num_examples if mean == "weighted_mean" else 1)

    def combined(self) -> Combined:
        """Combine the groups of all sites.

        Raises:
            QuorumError: Fewer sites than a robust rule needs.
            UpdateError: No site has answered; a weighted mean has no examples.
        """
        if not self._sites:
            raise UpdateError("nothing to aggregate: no site has answered")
        folded: dict[str, Array] = {}
        for group, rule in self._rules.items():
            if not isinstance(rule, str):  # the tensors of one group are one vector
                kept = self._of(group)
                folded |= _robust(rule, kept) if kept[0] else {}
        for name in ("total", "mean", "weighted_mean"):
            groups = [group for group, rule in self._rules.items() if rule == name]
            folded |= self._folded(name, self._of(*groups)) if groups else {}
        alone = [group for group, rule in self._rules.items() if rule == "individual"]
        return Combined(nested(folded), self._each(self._of(*alone)))

    def _check_like_the_first(self, tensors: Parameters) -> None:
        found = specs(tensors)
        self._first = self._first or found
        if problem := mismatch(found, self._first):
            raise UpdateError(f"the groups of {self._sites[-1][0]} do not fit the first: {problem}")

    def _of(self, *groups: str) -> list[dict[str, Array]]:
        """The tensors of some groups, of each site."""
        return [
            {name: array for name, array in tensors.items() if group_of(name) in groups}
            for tensors in self._kept
        ]

    def _folded(self, rule: str, kept: Sequence[Parameters]) -> dict[str, Array]:
        if self._streamed:
            if rule == "total":
                return self._totals
            return self._means[rule].mean()
        if not kept[0]:
            return {}
        if rule == "total":
            return {name: lazy_total(name, [tensors[name] for tensors in kept]) for name in kept[0]}
        examples = [count if rule == "weighted_mean" else 1 for _, count in self._sites]
        return lazy_weighted_mean(kept, examples)

    def _each(self, kept: Sequence[Parameters]) -> dict[str, dict[str, Group]]:
        each: dict[str, dict[str, Group]] = {}
        for (site, _), tensors in zip(self._sites, kept, strict=False):
            for group, value in nested(tensors).items():
                each.setdefault(group, {})[site] = value
        return each

    def _add_total(self, name: str, array: Array) -> None:
        if name not in self._totals:
            self._totals[name] = np.zeros(array.shape, _total_dtype(array.dtype))
        flat = self._totals[name].reshape(-1)
        read, block = flat_reader(array)
        step = -(-_BLOCK // block) * block
        for begin in range(0, array.size, step):
            end = min(begin + step, array.size)
            _add(flat[begin:end], read(begin, end), name)


def _robust(rule: AnyRobustRule, values: Sequence[Parameters]) -> dict[str, Array]:
    """Combine values, not differences, by a robust rule.

    Rules take unsigned numbers for differences, of which the largest stand for negative ones: values are
    given to them as signed numbers, in which they fit.
    """
    wide = [{name: _signed(array) for name, array in tensors.items()} for tensors in values]
    found = combine(rule, wide, [1] * len(wide))
    return {name: _with_dtype(array, values[0][name].dtype) for name, array in found.items()}


def _signed(array: Array) -> Array:
    return _with_dtype(array, np.dtype(np.int64)) if array.dtype.kind == "u" else array


def _with_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    """The same numbers, converted where they are read."""
    if array.dtype == dtype or dtype.kind not in "iu":
        return array
    read, block = flat_reader(array)
    return LazyTensor(array.shape, dtype, lambda begin, end: read(begin, end).astype(dtype), block).as_array


def lazy_total(name: str, arrays: Sequence[Array]) -> Array:
    """The total of one tensor over the sites, added where it is read.

    Raises:
        UpdateError: Where it is read: a sum is too large for its dtype; names the tensor.
    """
    readers = [flat_reader(array) for array in arrays]
    dtype = _total_dtype(arrays[0].dtype)

    def read(begin: int, end: int) -> Array:
        total = np.zeros(end - begin, dtype)
        for values_of, _ in readers:
            _add(total, values_of(begin, end), name)
        return total

    return LazyTensor(arrays[0].shape, dtype, read, max(block for _, block in readers)).as_array


def _total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=") if dtype.kind in "iu" else np.dtype(np.float64)


def _add(total: Array, values: Array, name: str) -> None:
    """Add numbers to a total, in place.

    Raises:
        UpdateError: A sum of whole numbers does not fit into their dtype, or one of others is not finite.
    """
    if total.dtype.kind in "iu":
        before = total.copy()
        np.add(total, values, out=total)
        grew = total >= before
        if not np.array_equal(grew, values >= 0):  # it wrapped around
            wide = total.dtype.itemsize >= np.dtype(np.int64).itemsize
            raise UpdateError(
                f"the total of {in_words(name)} over the sites is too large for {total.dtype.name}",
                mend="Declare the group as float64, or send smaller numbers: no whole numbers are wider."
                if wide
                else "Declare the group with a wider dtype, such as int64.",
            )
        return
    with np.errstate(over="ignore"):
        np.add(total, values.astype(np.float64, copy=False), out=total)
    if not np.isfinite(total).all():
        raise UpdateError(f"the total of {in_words(name)} over the sites is too large for float64")
