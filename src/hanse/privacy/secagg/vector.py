"""From a site's result to the words of q, and from the words of a sum to the numbers that it states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.core.values.lazy import FlatReader, LazyTensor, flat_reader
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError
from hanse.privacy.secagg.grid import (
    Randomness,
    Words,
    exceeds,
    real_words,
    signed_sum,
    standard_error,
    step_of,
    weight_of,
    whole_words,
)
from hanse.privacy.secagg.layout import (
    CLIPPED,
    EXAMPLES,
    OUT_OF_RANGE,
    Entry,
    Layout,
    given_entry,
    metric_entry,
    metric_of,
)

NUMBERS_AT_ONCE = 1 << 15
"""As many as the processor's cache has room for, several times in float64."""
_LARGEST_RELATIVE_ERROR = 1e-4


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a task at one site, clipped and compressed as the plan says.

    Attributes:
        tensors: Of update and groups, by the name that they have in a file.
        metrics: By name; None where the metric is not defined at the site.
        examples: n, those of the site's data source.
        clipped: Whether the agent clipped the floating-point tensors of the update.
    """

    tensors: Mapping[str, Array] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    examples: int = 0
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class OpenedSum:
    """Numbers that the sum over a cell states.

    Attributes:
        tensors: By name, computed where they are read, in the dtypes that were asked for.
        metrics: Mean of each metric; None where no site gave an optional one.
        weights: What the sum of each metric was divided by: number of sites or of examples.
        examples: Sum of the numbers of examples, each at most the plan's `most`; None where not summed.
        clipped: Number of sites whose update was clipped; None where not summed.
        out_of_range: Number of sites at which another number was clipped to its range; None as above.
        error: Standard error of a coordinate of the floating-point update or group, relative to its C, at
            most; None where there is none.
    """

    tensors: Mapping[str, LazyTensor]
    metrics: Mapping[str, float | None]
    weights: Mapping[str, int]
    examples: int | None
    clipped: int | None
    out_of_range: int | None
    error: float | None


def encode(layout: Layout, result: Result, randomness: Randomness) -> Iterator[Words]:
    """The words of q in order, in pieces of at most `NUMBERS_AT_ONCE`.

    Args:
        layout: Of the vector.
        result: Of the site.
        randomness: 4 bytes are taken for each number on the grid, in the order of the vector.

    Yields:
        Flat pieces, `<u4` or `<u8`.

    Raises:
        UpdateError: A tensor or a metric is missing, a number is not finite, or the site has too few
            examples. To others, all of these are the same failure.
    """
    _check_result(layout, result)
    numbers = _numbers(layout, result)
    for entry in layout.entries:
        if entry.name in numbers:
            pieces: Iterator[Array] = iter((numbers[entry.name].reshape(-1),))
        else:
            pieces = _pieces(result.tensors[entry.name], entry)
        for piece in pieces:
            yield _coded(layout, entry, piece, _weight(layout, entry, result), randomness)


def open_sum(layout: Layout, sites: int, read: FlatReader, dtypes: Mapping[str, np.dtype[Any]]) -> OpenedSum:
    """Decode the sum of one cell.

    Args:
        layout: Of the vector.
        sites: n, members of the cell; at most those of the layout.
        read: Gives the words of the sum from one place to before another.
        dtypes: Of each tensor that is given back, by name.

    Returns:
        The sum. Its tensors are decoded where they are read, and raise the error below there.

    Raises:
        UpdateError: A coordinate is beyond what members who keep to their ranges have, or the weights are so
            small that the mean would be mostly error of rounding.
    """
    places = layout.places()
    heads = {name: _integers(layout, entry, sites, read, begin)
             for name, (entry, begin) in places.items() if name.startswith("#")}  # fmt: skip
    counted = {name: int(value[0]) for name, value in heads.items()}
    examples = counted.get(EXAMPLES)
    weighed = layout.examples is not None
    if weighed and not examples:
        raise UpdateError("the sites of the cell have no examples together, and their results are weighed")
    metrics, weights = dict[str, float | None](), dict[str, int]()
    for name, value in heads.items():
        if (metric := metric_of(name)) is not None:
            divisor = counted.get(given_entry(metric), counted[EXAMPLES] if weighed else sites)
            weights[metric] = divisor
            scale = _scale(layout, places[name][0])
            metrics[metric] = float(value[0]) * scale / divisor if divisor else None
    tensors = {
        name: _tensor(layout, entry, begin, _Opening(sites, examples, read, dtypes[name]))
        for name, (entry, begin) in places.items()
        if not name.startswith("#")
    }
    error = _relative_error(layout, sites, examples)
    return OpenedSum(
        tensors, metrics, weights, examples, counted.get(CLIPPED), counted.get(OUT_OF_RANGE), error
    )


@dataclass(frozen=True, slots=True)
class _Opening:
    sites: int
    examples: int | None
    read: FlatReader
    dtype: np.dtype[Any]


def _check_result(layout: Layout, result: Result) -> None:
    if layout.examples and result.examples < layout.examples.least:
        raise UpdateError(f"there are fewer than the {layout.examples.least} examples that the plan requires")
    names = {entry.name for entry in layout.entries}
    for entry in layout.entries:
        if (metric := metric_of(entry.name)) is not None:
            if result.metrics.get(metric) is None and given_entry(metric) not in names:
                raise UpdateError(
                    f"the metric {metric!r} is missing, and the plan does not mark it `optional`"
                )
        elif not entry.name.startswith("#"):
            array = result.tensors.get(entry.name)
            if array is None or tuple(array.shape) != entry.shape:
                raise UpdateError(
                    f"tensor {entry.name!r} is missing, or has another shape than {entry.shape}"
                )


def _numbers(layout: Layout, result: Result) -> dict[str, Array]:
    """The entries beside the tensors."""
    most = layout.examples.most if layout.examples else 1
    counted = min(result.examples, most) if layout.examples else 1
    found: dict[str, float] = {EXAMPLES: counted, CLIPPED: result.clipped}
    out = False
    for entry in layout.entries:
        if entry.name == EXAMPLES and not layout.examples:
            found[EXAMPLES] = result.examples
            out |= result.examples > entry.high
        if (metric := metric_of(entry.name)) is not None:
            value = result.metrics.get(metric)
            found[metric_entry(metric)] = 0.0 if value is None else value
            found[given_entry(metric)] = 0 if value is None else counted
            out |= value is not None and not entry.low <= value <= entry.high
        elif entry.name in result.tensors and not _by_the_agent(entry):
            pieces = _pieces(result.tensors[entry.name], entry)
            out |= any(exceeds(piece, entry.low, entry.high) for piece in pieces)
    found[OUT_OF_RANGE] = out
    kinds = {entry.name: entry.kind for entry in layout.entries if entry.name.startswith("#")}
    return {name: np.array([found[name]], np.float64 if kind == "real" else np.int64)
            for name, kind in kinds.items()}  # fmt: skip


def _by_the_agent(entry: Entry) -> bool:
    """Check if the range is that of the update, to which the agent has clipped already."""
    return entry.kind == "real" and not entry.integer and not entry.name.startswith("@")


def _pieces(array: Array, entry: Entry) -> Iterator[Array]:
    read, block = flat_reader(array)
    step = max(block, NUMBERS_AT_ONCE // block * block)
    for begin in range(0, entry.size, step):
        yield read(begin, min(begin + step, entry.size))


def _weight(layout: Layout, entry: Entry, result: Result) -> float:
    """Weight of a site in an entry on the grid, 0 to 1."""
    metric = metric_of(entry.name)
    if metric is not None and result.metrics.get(metric) is None:
        return 0.0  # and not a number 0, which would be cut to a range without it
    if entry.rule == "weighted_mean" and layout.examples:
        return weight_of(result.examples, layout.examples.most)
    return 1.0


def _coded(layout: Layout, entry: Entry, piece: Array, weight: float, randomness: Randomness) -> Words:
    if entry.kind == "whole":
        return whole_words(piece, int(entry.low), int(entry.high), ring=layout.ring)
    try:
        return real_words(
            piece,
            entry.low,
            entry.high,
            ring=layout.ring,
            bits=layout.bits,
            weight=weight,
            randomness=randomness,
        )
    except UpdateError as error:
        raise UpdateError(f"{entry.name!r}: {error.message}") from error


def _integers(layout: Layout, entry: Entry, sites: int, read: FlatReader, begin: int) -> Array:
    return signed_sum(read(begin, begin + entry.size), _most(layout, entry, sites))


def _most(layout: Layout, entry: Entry, sites: int) -> int:
    return sites << layout.bits if entry.kind == "real" else sites * int(entry.bound)


def _scale(layout: Layout, entry: Entry) -> float:
    """Factor of an integer of the sum, before it is divided by a count."""
    step = 1.0 if entry.kind == "whole" else step_of(entry.low, entry.high, layout.bits)
    return step * layout.examples.most if entry.rule == "weighted_mean" and layout.examples else step


def _tensor(layout: Layout, entry: Entry, begin: int, opening: _Opening) -> LazyTensor:
    most, scale = _most(layout, entry, opening.sites), _scale(layout, entry)
    divisors = {"total": 1, "mean": opening.sites, "weighted_mean": opening.examples}
    divisor = divisors[entry.rule]

    def read(first: int, end: int) -> Array:
        numbers: Array = signed_sum(opening.read(begin + first, begin + end), most)
        if entry.kind == "real":
            numbers = numbers * scale / float(divisor or 1)
        return _as_dtype(numbers, opening.dtype, entry)

    return LazyTensor(entry.shape, opening.dtype, read)


def _as_dtype(numbers: Array, dtype: np.dtype[Any], entry: Entry) -> Array:
    if dtype.kind not in "iub":
        return numbers.astype(dtype)
    whole = np.rint(numbers)
    ends = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if exceeds(whole, *ends):
        raise UpdateError(f"the sum of {entry.name!r} does not fit into {dtype.name}")
    return whole.astype(dtype)


def _relative_error(layout: Layout, sites: int, examples: int | None) -> float | None:
    """Largest standard error of the tensors on the grid, as a part of C."""
    step, divisors = 2.0**-layout.bits, {"total": 1.0, "mean": float(sites)}
    if layout.examples and examples:
        divisors["weighted_mean"] = examples / layout.examples.most
    found = [
        standard_error(step, sites, divisors[entry.rule])
        for entry in layout.entries
        if entry.kind == "real" and not entry.name.startswith("#")
    ]
    error = max(found, default=None)
    if (
        layout.examples
        and examples
        and standard_error(step, sites, divisors["weighted_mean"]) > _LARGEST_RELATIVE_ERROR
    ):
        raise UpdateError(
            f"the mean of {examples} examples, weighed against {layout.examples.most}, would be inexact",
            mend=f"State a smaller `most` under `examples`, such as {max(1, examples * 4 // sites)}.",
        )
    return error
