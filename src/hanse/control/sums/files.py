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
from hanse.core.values.lazy import FlatReader, flat_reader
from hanse.core.values.parameters import TensorSpec
from hanse.core.values.update import Metrics
from hanse.errors import HanseError, UpdateError
from hanse.files.copying import is_whole
from hanse.files.errors import file_errors
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.vector import NUMBERS_AT_ONCE, OpenedSum, open_sum
from hanse.updates.aggregate_file import aggregate_file, has_arrays
from hanse.updates.incoming import fold_cells
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.opened import CellWords, fold_masked
from hanse.updates.secure_sums.vector_file import MASKED, open_vector
from hanse.wire.tensors import digest_of, read_specs

_CLOSE = 1e-9
"""Part of a number by which two computations of it may differ."""


@dataclass(frozen=True, slots=True)
class AddedSum:
    """Findings of the vectors of a sum.

    Attributes:
        added: Whether all vectors were at hand, and were added.
        problems: What speaks against the sum, in words.
    """

    added: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddedCells:
    """Aggregate of an exchange, made again from the vectors of its cells.

    Attributes:
        num_examples: Of all cells together; of sites where examples are not summed.
        metrics: Mean of each metric over all cells.
        aggregate: Digest of the file of the aggregate; None where it has no arrays.
    """

    num_examples: int
    metrics: Metrics
    aggregate: str | None


class SumFiles:
    """Files beside a journal, by their digests: the vectors of sums, and what tasks received.

    Attributes:
        folder: Folder of an aggregator, or a copy of some of its blobs; None for none.
        damaged: Files that were looked for, and are others than their names say.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.damaged: list[Path] = []
        self._places: dict[str, Path | None] = {}
        self._layouts: dict[int, Layout | None] = {}

    def find(self, digest: str) -> Path | None:
        """Find the file of a digest; None where it is not at hand, or is another than its name says.

        Raises:
            StorageError: It cannot be read.
        """
        if self.folder is None:
            return None
        if digest not in self._places:
            there = [path for path in self._candidates(self.folder, digest) if _is_file(path)]
            whole = next((path for path in there if _is_whole(path, digest)), None)
            self._places[digest] = whole
            if whole is None:
                self.damaged += there
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
        layout, problems = self.layout_of(exchange), list[str]()
        try:
            words = self.words_of(exchange, event)
            if layout is None or words is None:
                return AddedSum(added=False)
            digest = digest_of({MASKED: words}, algorithm_of(event.sum))
            if digest != event.sum:
                problems.append(f"the vectors add up to {digest[:12]}, and not {event.sum[:12]}")
            opened = _opened(layout, len(event.masked), flat_reader(words)[0])
            problems += _differences(event, opened)
        except UpdateError as error:
            problems.append(error.message)
        return AddedSum(added=True, problems=tuple(problems))

    def words_of(self, exchange: MaskedExchange, event: SumOpened) -> Words | None:
        """The sum of the vectors, added where it is read; None where one of them is not at hand.

        Raises:
            UpdateError: A file is not a vector of the exchange.
        """
        layout = self.layout_of(exchange)
        paths = [self.find(digest) for _, digest in sorted(event.masked.items())]
        found = [path for path in paths if path is not None]
        if layout is None or not found or len(found) < len(paths):
            return None
        return fold_masked([open_vector(path, layout) for path in found])

    def aggregate(self, exchange: MaskedExchange) -> AddedCells | None:
        """Put the sums of all cells together, as the plan says; None where one of them is not at hand.

        Raises:
            UpdateError: A sum cannot be decoded.
            QuorumError: There are fewer cells than a robust rule needs.
        """
        cells = []
        for cell in exchange.cells.values():
            if cell.opened is None:
                continue
            words, ready = self.words_of(exchange, cell.opened), cell.of(cell.opened.attempt).ready
            if words is None or not ready:
                return None
            context = ready[min(ready)].context
            cells.append(CellWords(cell.cell, cell.members, context, words))
        received = self._received(exchange)
        if received is None or not cells:
            return None
        plan, task = exchange.plan, exchange.opened.task
        found = fold_cells(plan, task, received, cells).aggregate
        digest = digest_of(aggregate_file(found), plan.digests) if has_arrays(found) else None
        return AddedCells(found.num_examples, found.metrics, digest)

    def _laid_out(self, exchange: MaskedExchange) -> Layout | None:
        try:
            received = self._received(exchange)
            return None if received is None else sum_layout(exchange.plan, exchange.opened.task, received)
        except HanseError:  # what was sent is not what the plan declares, or the plan has no layout for it
            return None

    def _received(self, exchange: MaskedExchange) -> Received | None:
        """The headers of what the sites received; None where a file is missing of which they matter."""
        opened, model, groups = exchange.opened, None, dict[str, TensorSpec]()
        if opened.model is not None and _depends_on_model(exchange.plan, opened.task):
            path = self.find(opened.model.digest)
            if path is None:
                return None
            model = read_specs(path)
        for digest in opened.groups.values():
            path = self.find(digest)
            if path is None:
                return None
            groups |= read_specs(path)
        return Received(model, groups)

    def _candidates(self, folder: Path, digest: str) -> Iterator[Path]:
        yield folder / "blobs" / digest[:2] / digest
        yield folder / digest[:2] / digest
        yield folder / digest


def _is_file(path: Path) -> bool:
    with file_errors(f"read {path}"):
        return path.is_file()


def _is_whole(path: Path, digest: str) -> bool:
    with file_errors(f"read {path}"):
        return is_whole(path, digest)


def _depends_on_model(plan: Plan, task: str) -> bool:
    disclosure = disclosure_of(plan, task)
    groups = {*disclosure.groups, *(g for g in plan.tasks[task].receives if g in plan.group_specs)}
    return disclosure.update != "none" or any(plan.group_specs[group].like for group in groups)


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
    for what, said, found in (
        ("clipped updates", event.clipped, opened.clipped),
        ("sites with numbers out of range", event.out_of_range, opened.out_of_range),
    ):
        if said != found:
            yield f"the sum has {found} {what}, and the journal says {said}"
    if not _alike(event.error, opened.error):
        yield f"the standard error of the sum is {opened.error}, and the journal says {event.error}"


def _alike(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=_CLOSE)
