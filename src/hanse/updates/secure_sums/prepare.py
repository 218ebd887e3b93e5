"""From a task's result to the words of q: what agent and simulator do with a result that is masked.

In the place of `hanse.updates.outgoing.release`: check, clip, compress by steps that can be added, and
round to the grid. Masks come later, once an attempt, on q.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hanse.core.plan.disclosure import check_result, check_tensors
from hanse.core.plan.privacy.parts import section_of
from hanse.core.values.groups import MARK
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, Parameters, is_floating, tied_names
from hanse.core.values.seeds import derive
from hanse.errors import DataError, UpdateError
from hanse.privacy.secagg.grid import Randomness, Words
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.rounding import RoundingStreams
from hanse.privacy.secagg.vector import Result, encode
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing
from hanse.updates.secure_sums.clipping import clipped_update, surely_within
from hanse.updates.secure_sums.codec import sum_codec
from hanse.updates.secure_sums.vector_file import WrittenVector, write_vector


def prepare(
    outgoing: Outgoing, origin: Origin, layout: Layout, context: str, randomness: Randomness, path: Path
) -> WrittenVector:
    """Take a result through the plan's steps to the file of q, which is durable when this returns.

    Args:
        outgoing: The result; its draft is read and left as it is.
        origin: Where it comes from.
        layout: What `hanse.updates.secure_sums.layout.sum_layout` gives for it.
        context: Digest of the context of the exchange.
        randomness: The operating system's, or a simulator's from its seed.
        path: Where to put q; it appears whole or not at all.

    Returns:
        Digest of the words, and size of the file.

    Raises:
        DataError: A reason that lies in the site's data: a number that is not finite, a metric that is
            missing, too few examples.
        DisclosureError: The result is not what the plan declares.
        StorageError: A file cannot be read or written.
    """
    words = prepared_words(outgoing, origin, layout, context, randomness)
    return write_vector(path, layout, words, origin.plan.digests, header_too=False, durable=True)


def prepared_words(
    outgoing: Outgoing, origin: Origin, layout: Layout, context: str, randomness: Randomness
) -> Iterator[Words]:
    """As `prepare`, but gives the words in order, piece by piece."""
    try:
        result, ties = _result(outgoing, origin, context)
        yield from encode(layout, result, RoundingStreams(layout, randomness, ties))
    except DataError:
        raise
    except UpdateError as error:
        raise DataError(f"{origin}: {error.message}", mend=error.mend) from error


def _result(outgoing: Outgoing, origin: Origin, context: str) -> tuple[Result, dict[str, str]]:
    """The result as it is rounded, and its tensors that are another one by a second name."""
    plan, task, what = origin.plan, origin.task, str(origin)
    check_result(outgoing, plan, task, what)
    tensors: Parameters = {} if outgoing.update is None else outgoing.update.tensors()
    groups = {name: array for name, array in tensors.items() if plan.groups and name.startswith(MARK)}
    update = {name: array for name, array in tensors.items() if name not in groups}
    real = {name: array for name, array in update.items() if is_floating(array.dtype)}
    whole = {name: _signed(array) for name, array in update.items() if name not in real}
    bound, clipped = section_of(plan).model, False
    within = bound is not None and bool(real) and surely_within(real, bound)
    if outgoing.update is not None:  # numbers of groups are checked where they are rounded
        check_tensors(tensors, origin.received, plan, task, what, clips=True, finite=within)
    codec = sum_codec(plan)
    ties = tied_names([real]) if real and codec.keeps_ties else {}
    if bound is not None and real and not within:
        real, clipped = clipped_update(real, bound)
    coded = {
        name: codec.encode(name, array, context, derive(origin.seed, ties.get(name, name)))
        for name, array in real.items()
    }
    result = Result({**coded, **whole, **groups}, outgoing.metrics, outgoing.num_examples, clipped)
    return result, ties


def _signed(array: Array) -> Array:
    """A difference of whole numbers, of which the largest unsigned ones stand for negative ones."""
    if array.dtype.kind != "u":
        return array
    dtype = np.dtype(f"i{array.dtype.itemsize}")
    read, block = flat_reader(array)
    return LazyTensor(array.shape, dtype, lambda begin, end: read(begin, end).view(dtype), block).as_array
