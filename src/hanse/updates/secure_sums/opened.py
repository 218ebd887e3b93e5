"""From the masked vectors of cells to the aggregate: added by block, decoded, and cells put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from hanse.aggregation.dtypes import rounded
from hanse.aggregation.fold import lazy_weighted_mean, weighted_metrics
from hanse.aggregation.groups import lazy_total
from hanse.aggregation.registry import combine
from hanse.core.plan.disclosure import disclosure_of, expected_tensors
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.robust_rules import AnyRobustRule
from hanse.core.values.groups import MARK, group_of, nested
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, TensorSpec, in_words, is_floating
from hanse.core.values.update import Aggregate
from hanse.errors import UpdateError
from hanse.privacy.secagg.grid import Words, words_dtype
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.masks import BLOCK_BYTES, add_block
from hanse.privacy.secagg.vector import OpenedSum, open_sum
from hanse.updates.secure_sums.codec import SumCodec, sum_codec
from hanse.updates.secure_sums.layout import rule_in_cell, rule_of_update, sum_layout

_ANY_RULE = AnyRobustRule | str


@dataclass(frozen=True, slots=True, eq=False)
class CellWords:
    """Sum of the vectors of one whole cell, before it is decoded.

    Attributes:
        cell: Its name.
        sites: All of its members, in site order.
        context: Digest of the context that they have stated.
        words: Of the sum, flat: an array, a memory map or a `LazyTensor`.
    """

    cell: str
    sites: tuple[str, ...]
    context: str
    words: Words


@dataclass(frozen=True, slots=True)
class CellFigures:
    """Numbers of an opened sum beside its tensors and metrics.

    Attributes:
        num_examples: Sum of the numbers of examples, each at most the plan's `most`; None where not summed.
        error: Largest standard error of a number, relative to its bound; None where there is none.
        clipped: Sites whose update was clipped; None where not summed.
        out_of_range: Sites of which another number was clipped to its range; None where not summed.
    """

    num_examples: int | None
    error: float | None
    clipped: int | None
    out_of_range: int | None


@dataclass(frozen=True, slots=True, eq=False)
class OpenedCells:
    """Result of the cells of an exchange.

    Attributes:
        aggregate: Over all cells; its tensors are decoded where they are read.
        figures: Of each cell, by its name.
    """

    aggregate: Aggregate
    figures: Mapping[str, CellFigures]


def fold_masked(vectors: Sequence[Words]) -> Words:
    """Add the vectors of a cell modulo the ring, where the sum is read.

    Args:
        vectors: Of all members, flat, of one length and dtype; memory maps among them.

    Returns:
        A `LazyTensor`, which `hanse.wire.tensors.write_hashed` writes in memory of a few blocks.
    """
    first = vectors[0]

    def read(begin: int, end: int) -> Words:
        total: Words = np.array(first[begin:end])
        for words in vectors[1:]:
            add_block(total, words[begin:end])
        return total

    return LazyTensor(first.shape, first.dtype, read, BLOCK_BYTES // first.itemsize).as_array


class RunningCell:
    """Adds the vectors of a cell as they come, piece by piece; memory of one vector.

    Args:
        layout: Of the vectors.
    """

    def __init__(self, layout: Layout) -> None:
        self._total: Words = np.zeros(layout.words, words_dtype(layout.ring))

    def add(self, pieces: Iterable[Words]) -> None:
        """Add one member's vector, whose pieces come in order."""
        begin = 0
        for piece in pieces:
            add_block(self._total[begin : begin + len(piece)], piece)
            begin += len(piece)

    @property
    def words(self) -> Words:
        """The sum of what was added."""
        return self._total


def open_cells(plan: Plan, task: str, received: Received, cells: Sequence[CellWords]) -> OpenedCells:
    """Decode the sums of cells, and put them together by the plan's rules.

    Sums and means are over all sites of the cells together; a robust rule takes the mean of each cell for
    the update of a site.

    Args:
        plan: The plan.
        task: The task.
        received: The headers of what its sites started from.
        cells: The complete cells.

    Returns:
        The aggregate. Its number of examples is that of sites where the plan bounds none, so that they are
        not summed.

    Raises:
        UpdateError: There is no cell; a coordinate is beyond what members have who keep to their ranges,
            which for tensors is found where they are read; a mean would be mostly error of rounding.
        QuorumError: There are fewer cells than a robust rule needs.
    """
    if not cells:
        raise UpdateError("nothing to aggregate: no cell is complete")
    expected = expected_tensors(received, plan, task)
    grouped = frozenset(name for name in expected if plan.groups and name.startswith(MARK))
    layout = sum_layout(plan, task, received)
    opening = _Opening(plan, task, layout, sum_codec(plan), expected, grouped)
    ordered = sorted(cells, key=lambda cell: cell.cell)
    opened = [opening.open(cell) for cell in ordered]
    tensors = opening.merged(opened)
    delta = {name: array for name, array in tensors.items() if name not in grouped}
    groups = {name: array for name, array in tensors.items() if name in grouped}
    sites = tuple(sorted(site for cell in cells for site in cell.sites))
    examples = [each.sum.examples for each in opened]
    aggregate = Aggregate(
        num_examples=len(sites) if None in examples else sum(count or 0 for count in examples),
        metrics=_metrics([each.sum for each in opened]),
        delta=None if disclosure_of(plan, task).update == "none" else delta,
        sites=sites,
        groups=nested(groups),
        clipped=sum(each.sum.clipped or 0 for each in opened),
        out_of_range=sum(each.sum.out_of_range or 0 for each in opened),
    )
    figures = {
        cell.cell: CellFigures(each.sum.examples, each.sum.error, each.sum.clipped, each.sum.out_of_range)
        for cell, each in zip(ordered, opened, strict=True)
    }
    return OpenedCells(aggregate, figures)


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """One opened cell; tensors in float64, and in int64 where they count."""

    num_sites: int
    sum: OpenedSum
    tensors: Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class _Opening:
    plan: Plan
    task: str
    layout: Layout
    codec: SumCodec
    expected: Mapping[str, TensorSpec]
    grouped: frozenset[str]
    """Names of the tensors of groups."""

    @property
    def weighs(self) -> bool:
        """True if numbers of examples are summed."""
        return self.layout.examples is not None

    def open(self, cell: CellWords) -> _Cell:
        read, _ = flat_reader(cell.words)
        kinds = {entry.name: np.int64 if entry.kind == "whole" else np.float64
                 for entry in self.layout.entries}  # fmt: skip
        found = open_sum(self.layout, len(cell.sites), read, {n: np.dtype(k) for n, k in kinds.items()})
        tensors = {
            name: self.codec.decode(name, spec, found.tensors[name].as_array, cell.context)
            for name, spec in self.expected.items()
        }
        return _Cell(len(cell.sites), found, tensors)

    def merged(self, cells: Sequence[_Cell]) -> dict[str, Array]:
        """The tensors over all cells, in their own dtypes."""
        rules = self._rules()
        made: dict[str, Array] = {}
        for vector in self._robust(rules):
            rule = rules[vector[0]]
            assert isinstance(rule, AnyRobustRule)
            made |= self._by_rule(rule, vector, cells)
        for name in self.expected:
            if name not in made:
                made[name] = self._summed(name, str(rules[name]), cells)
        return {name: self._typed(name, made[name], rules[name]) for name in self.expected}

    def _rules(self) -> dict[str, _ANY_RULE]:
        disclosed, robust = disclosure_of(self.plan, self.task).groups, self.plan.aggregation.robust
        update = rule_of_update(self.plan) if robust is None else robust
        return {name: disclosed[group_of(name)] if name in self.grouped else update for name in self.expected}

    def _robust(self, rules: Mapping[str, _ANY_RULE]) -> list[list[str]]:
        """Names of the tensors that are one vector to a robust rule: the update, and each group."""
        vectors: dict[str, list[str]] = {}
        for name, rule in rules.items():
            if not isinstance(rule, str):
                vectors.setdefault(group_of(name) if name in self.grouped else "", []).append(name)
        return list(vectors.values())

    def _by_rule(self, rule: AnyRobustRule, names: Sequence[str], cells: Sequence[_Cell]) -> dict[str, Array]:
        means = [{name: self._mean_of_cell(name, cell) for name in names} for cell in cells]
        by_examples = rule_in_cell(rule) == "weighted_mean"
        return combine(rule, means, [_weight(cell, by_examples=by_examples) for cell in cells])

    def _mean_of_cell(self, name: str, cell: _Cell) -> Array:
        """A cell's mean as the update of a site: whole numbers stay out of a rule's vector."""
        array, spec = cell.tensors[name], self.expected[name]
        if spec.dtype.startswith(("float", "bfloat")):
            return array
        dtype = np.dtype(bool if spec.dtype == "bool" else np.int64)
        return _converted(array, dtype, lambda values: rounded(values, dtype))

    def _summed(self, name: str, rule: str, cells: Sequence[_Cell]) -> Array:
        arrays = [cell.tensors[name] for cell in cells]
        if len(arrays) == 1:
            return arrays[0]
        if rule == "total":
            return lazy_total(name, arrays)
        weights = [_weight(cell, by_examples=rule == "weighted_mean") for cell in cells]
        return lazy_weighted_mean([{name: array} for array in arrays], weights)[name]

    def _typed(self, name: str, array: Array, rule: _ANY_RULE) -> Array:
        """An opened tensor in the dtype in which a sum that is not masked has it."""
        dtype = _dtype(self.expected[name].dtype)
        if rule == "total" and dtype.kind not in "iu":
            dtype = np.dtype(np.float64)
        if array.dtype == dtype:
            return array
        if is_floating(dtype):
            return _converted(array, dtype, lambda values: _narrowed(values, dtype))
        if array.dtype.kind in "iu" and dtype.kind in "iu":
            return _converted(array, dtype, lambda values: _fitting(values, dtype, name))
        if name not in self.grouped or dtype == np.bool_:
            return _converted(array, dtype, lambda values: rounded(values, dtype).view(dtype))
        return _converted(array, dtype, lambda values: _fitting(rounded(values, np.dtype("i8")), dtype, name))


def _weight(cell: _Cell, *, by_examples: bool) -> int:
    return (cell.sum.examples or 0) if by_examples else cell.num_sites


def _metrics(opened: Sequence[OpenedSum]) -> dict[str, float]:
    """Mean of each metric over all cells, without those that no site gave."""
    found: dict[str, float] = {}
    for name in opened[0].metrics:
        given = [(value, each.weights[name]) for each in opened
                 if (value := each.metrics[name]) is not None]  # fmt: skip
        found |= weighted_metrics([{name: value} for value, _ in given], [weight for _, weight in given])
    return found


def _converted(array: Array, dtype: np.dtype[Any], convert: Callable[[Array], Array]) -> Array:
    read, block = flat_reader(array)
    return LazyTensor(array.shape, dtype, lambda begin, end: convert(read(begin, end)), block).as_array


def _narrowed(values: Array, dtype: np.dtype[Any]) -> Array:
    """Real numbers in a narrower dtype; what rounding took over its edge comes back onto it."""
    edge = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    return np.clip(values, -edge, edge).astype(dtype)


def _fitting(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    span = np.iinfo(dtype)
    if values.size and not (span.min <= int(values.min()) and int(values.max()) <= span.max):
        raise UpdateError(
            f"the sum of {in_words(name)} over the sites is too large for {dtype.name}",
            mend="Declare the group with a wider dtype, such as int64.",
        )
    return values.astype(dtype)


def _dtype(name: str) -> np.dtype[Any]:
    special = name.startswith(("bfloat", "float8"))
    return np.dtype(getattr(ml_dtypes, name)) if special else np.dtype(name)
