"""Distances between updates, each taken as one vector of all its floating-point numbers.

Tensors that are one tensor by several names, as tied weights are, are in it once: those that have the same
bits in every update. An update alone cannot make two tensors count as one, and be longer by that.

Read in pieces, so that memory grows neither with the size of the model nor,
where tensors are contiguous, with the number of updates. A piece is always the
same numbers and its squares are added in an order of its own, pair by pair, so
that neither blocks, nor threads, nor the machine's vector instructions change
a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from hanse.core.values.lazy import flat_reader
from hanse.core.values.parameters import Array, Parameters, is_floating, tied_names

_PIECE = 1 << 14
"""Numbers whose squares are added before the sum is added to the others; a part of the results' bits."""
_PAIRS_PIECE = 1 << 12
"""As `_PIECE`, where a piece of every update has to lie side by side."""
_STRETCH = 1 << 18
"""Numbers whose pieces are added before their sum is added to the others: one result a stretch is kept."""
_THREADS = 2

_Measure = Callable[[Sequence[Array]], Array]
"""From a piece of every update, of any floating dtype, to sums of squares in float64."""


def distances(
    updates: Sequence[Parameters],
    coefficients: Sequence[float] | None = None,
    *,
    at_once: int = _STRETCH,
    threads: int = _THREADS,
) -> list[float]:
    """L2 distance of each update from a weighted sum of all of them, which is never held as a whole.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite.
        coefficients: What each update is multiplied by before the sum is taken, in float64 and in
            the order given; None for the zero vector, from which the distance is the L2 norm.
        at_once: Numbers of each update that a thread takes at a time, rounded up to whole stretches.
        threads: Threads that compute.

    Returns:
        L2 distances, one an update; infinite where a square is beyond float64, which takes a
        float64 tensor with numbers above 1e150.
    """
    measure = partial(_from_sum, coefficients or [0.0] * len(updates))
    squares = _added(updates, measure, (len(updates),), _PIECE, at_once, threads)
    return [math.sqrt(square) for square in squares.tolist()]


def squared_distances_of_pairs(
    updates: Sequence[Parameters], *, at_once: int = _STRETCH, threads: int = _THREADS
) -> Array:
    """Squared L2 distance of each update from each other one.

    Takes time in proportion to the square of the number of updates.

    Args:
        updates: As for `distances`.
        at_once: As for `distances`.
        threads: As for `distances`.

    Returns:
        Symmetric, float64, (updates, updates); the diagonal is zero. Infinite as in `distances`.
    """
    shape = (len(updates), len(updates))
    upper = _added(updates, _of_pairs, shape, _PAIRS_PIECE, at_once, threads)
    return upper + upper.T


def _added(
    updates: Sequence[Parameters],
    measure: _Measure,
    shape: tuple[int, ...],
    piece: int,
    at_once: int,
    threads: int,
) -> Array:
    """Sum of what `measure` gives of each piece, added in the order of the pieces and of the stretches."""

    def work(part: tuple[str, int, int]) -> list[Array]:
        name, begin, end = part
        values = [flat_reader(update[name])[0](begin, end) for update in updates]
        return [
            of_stretch([each[at : at + _STRETCH] for each in values])
            for at in range(0, end - begin, _STRETCH)
        ]

    def of_stretch(values: Sequence[Array]) -> Array:
        total = np.zeros(shape)
        with np.errstate(over="ignore", under="ignore"):
            for at in range(0, len(values[0]), piece):
                total += measure([each[at : at + piece] for each in values])
        return total

    total = np.zeros(shape)
    with ThreadPoolExecutor(threads, "distances") as pool, np.errstate(over="ignore"):
        for measured in pool.map(work, _parts(updates, at_once)):
            for each in measured:
                total += each
    return total


def _parts(updates: Sequence[Parameters], at_once: int) -> Iterator[tuple[str, int, int]]:
    """Ranges of the floating-point numbers, by tensor; each begins where a stretch does."""
    ties = tied_names(updates) if updates else {}
    for name, first in updates[0].items() if updates else ():
        if not is_floating(first.dtype) or name in ties:
            continue
        # What is decoded by segment is decoded once.
        whole = math.lcm(_STRETCH, max(flat_reader(update[name])[1] for update in updates))
        step = -(-at_once // whole) * whole
        size = math.prod(first.shape)
        for begin in range(0, size, step):
            yield name, begin, min(begin + step, size)


def _from_sum(coefficients: Sequence[float], values: Sequence[Array]) -> Array:
    centre, term = np.zeros((2, len(values[0])))
    for each, coefficient in zip(values, coefficients, strict=True):
        if coefficient:
            np.copyto(term, each)
            term *= coefficient
            centre += term
    squares, padded = np.empty(len(values)), _zeros(1, len(centre))
    for number, each in enumerate(values):
        np.copyto(term, each)
        term -= centre
        padded[0, : len(term)] = term
        squares[number] = _sums_of_squares(padded)[0]
        padded[0, len(term) :] = 0
    return squares


def _of_pairs(values: Sequence[Array]) -> Array:
    rows = _zeros(len(values), len(values[0]))
    for row, each in zip(rows, values, strict=True):
        row[: len(each)] = each
    squares, scratch = np.zeros((len(values), len(values))), np.empty_like(rows)
    for number in range(len(values) - 1):
        later = rows[number + 1 :]
        between = np.subtract(later, rows[number], out=scratch[: len(later)])
        squares[number, number + 1 :] = _sums_of_squares(between)
    return squares


def _zeros(rows: int, count: int) -> Array:
    """Room for `count` numbers a row, filled up with zeros to a power of two: they change no sum."""
    return np.zeros((rows, 1 << (count - 1).bit_length()))


def _sums_of_squares(rows: Array) -> Array:
    """Sum of the squares of each row, whose length is a power of two; changes the rows.

    The second half is added to the first one until a single number is left. `np.sum` and `np.dot` leave the
    order to the machine.
    """
    np.multiply(rows, rows, out=rows)
    while (half := rows.shape[1] // 2) > 0:
        rows = np.add(rows[:, :half], rows[:, half:], out=rows[:, :half])
    return rows[:, 0].copy()
