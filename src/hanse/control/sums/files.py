"""Masked sums added up again from the files of their vectors, where these are at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanse.control.sums.evidence import MaskedExchange
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.run.sums.events import SumOpened
from hanse.core.values.digests import algorithm_of
from hanse.core.values.lazy import FlatReader, LazyTensor, flat_reader
from hanse.core.values.parameters import TensorSpec
from hanse.errors import HanseError, UpdateError
from hanse.files.copying import is_whole
from hanse.files.errors import file_errors
from hanse.privacy.secagg.grid import Words, words_dtype
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.vector import NUMBERS_AT_ONCE, OpenedSum, open_sum
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.vector_file import MASKED, open_vector
from hanse.wire.tensors import digest_of, read_specs

_CLOSE = 1e-9
"""Part of a number by which two computations of it may differ."""


@dataclass(slots=True)
class AddedSum:
    """Findings of the files of a sum.

    Attributes:
        problems: What speaks against the sum, in words.
        added: Whether the vectors were at hand and were added.
        opened: What the sum states; None where neither the vectors nor the sum are at hand.
    """

    problems: list[str]
    added: bool = False
    opened: OpenedSum | None = None


class SumFiles:
    """Files beside a journal, by their digests: the vectors of sums, and what tasks received.

    Args:
        folder: Folder of an aggregator, or a copy of some of its blobs; None for none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._places: dict[str, Path | None] = {}
        self._layouts: dict[int, Layout | None] = {}

    def find(self, digest: str) -> Path | None:
        """Find the file of a digest; None where it is not at hand, or is another than its name says.

        Raises:
            StorageError: It cannot be read.
        """
        if self._folder is None:
            return None
        if digest not in self._places:
            self._places[digest] = next(
                (path for path in self._candidates(self._folder, digest) if _has(path, digest)), None
            )
        return self._places[digest]

    def layout_of(self, exchange: MaskedExchange) -> Layout | None:
        """Layout of the vectors of an exchange; None where a file is missing from which it follows."""
        number = exchange.opened.exchange
        if number not in self._layouts:
            self._layouts[number] = self._laid_out(exchange)
        return self._layouts[number]

    def digest_of_layout(self, exchange: MaskedExchange) -> str | None:
        """Digest of `layout_of`."""
        layout = self.layout_of(exchange)
        return None if layout is None else layout.digest

    def add_up(self, exchange: MaskedExchange, event: SumOpened) -> AddedSum:
        """Add the vectors of a sum, and hold the sum against what the journal says of it.

        Args:
            exchange: The exchange.
            event: The sum.
        """
        found, layout = AddedSum([]), self.layout_of(exchange)
        if layout is None:
            return found
        places = {site: self.find(digest) for site, digest in sorted(event.masked.items())}
        vectors = [path for path in places.values() if path is not None]
        try:
            if len(vectors) == len(places) > 0:
                words = _added([open_vector(path, layout) for path in vectors], layout)
                found.added = True
                digest = digest_of({MASKED: words.as_array}, algorithm_of(event.sum))
                if digest != event.sum:
                    found.problems.append(f"the vectors add up to {digest[:12]}, and not {event.sum[:12]}")
            elif (path := self.find(event.sum)) is not None:
                read, _ = flat_reader(open_vector(path, layout))
                words = LazyTensor((layout.words,), words_dtype(layout.ring), read)
            else:
                return found
            found.opened = _opened(layout, len(places), words.flat_range)
        except UpdateError as error:
            found.problems.append(error.message)
            return found
        found.problems += _differences(event, found.opened)
        return found

    def _laid_out(self, exchange: MaskedExchange) -> Layout | None:
        opened, plan, model, groups = exchange.opened, exchange.plan, None, dict[str, TensorSpec]()
        try:
            if opened.model is not None and _depends_on_model(plan, opened.task):
                path = self.find(opened.model.digest)
                if path is None:
                    return None
                model = read_specs(path)
            for digest in opened.groups.values():
                path = self.find(digest)
                if path is None:
                    return None
                groups |= read_specs(path)
            return sum_layout(plan, opened.task, Received(model, groups))
        except HanseError:  # what was sent is not what the plan declares, or the plan has no layout for it
            return None

    def _candidates(self, folder: Path, digest: str) -> Iterator[Path]:
        yield folder / "blobs" / digest[:2] / digest
        yield folder / digest[:2] / digest
        yield folder / digest


def _has(path: Path, digest: str) -> bool:
    with file_errors(f"read {path}"):
        return path.is_file() and is_whole(path, digest)


def _depends_on_model(plan: Plan, task: str) -> bool:
    disclosure = disclosure_of(plan, task)
    groups = {*disclosure.groups, *(g for g in plan.tasks[task].receives if g in plan.group_specs)}
    return disclosure.update != "none" or any(plan.group_specs[group].like for group in groups)


def _added(vectors: list[Words], layout: Layout) -> LazyTensor:
    """The sum of vectors in their ring, computed where it is read."""
    dtype = words_dtype(layout.ring)

    def read(begin: int, end: int) -> Words:
        total = np.zeros(end - begin, dtype)
        for vector in vectors:
            total += vector[begin:end]  # wraps around, as the ring does
        return total

    return LazyTensor((layout.words,), dtype, read)


def _opened(layout: Layout, sites: int, read: FlatReader) -> OpenedSum:
    """Decode a sum, and read each of its numbers once: one out of its range fails there."""
    wide = {entry.name: np.dtype(np.float64) for entry in layout.entries}
    opened = open_sum(layout, sites, read, wide)
    for tensor in opened.tensors.values():
        for begin in range(0, tensor.size, NUMBERS_AT_ONCE):
            tensor.flat_range(begin, min(begin + NUMBERS_AT_ONCE, tensor.size))
    return opened


def _differences(event: SumOpened, opened: OpenedSum) -> Iterator[str]:
    if event.num_examples != opened.examples:
        yield f"the sum has {opened.examples} examples, and the journal says {event.num_examples}"
    if not _alike(event.error, opened.error):
        yield f"the standard error of the sum is {opened.error}, and the journal says {event.error}"


def _alike(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=_CLOSE)
