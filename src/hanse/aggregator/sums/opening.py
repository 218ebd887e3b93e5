"""From the masked vectors of complete cells to the aggregate of an exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanse.aggregator.sums.layouts import StatedLayout, SumLayouts
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.run.sums.commands import RecordSum
from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.lazy import flat_reader
from hanse.core.values.update import Aggregate
from hanse.errors import UpdateError
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.masks import BLOCK_BYTES
from hanse.privacy.secagg.vector import open_sum
from hanse.storage.base import BlobStore
from hanse.updates.incoming import fold_cells, received_of
from hanse.updates.secure_sums.opened import CellFigures, CellWords, fold_masked
from hanse.updates.secure_sums.vector_file import MASKED, open_vector
from hanse.wire.tensors import write_hashed


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSums:
    """Sums of the complete cells of an exchange, opened.

    Attributes:
        aggregate: Over all of them; its tensors are decoded where they are read.
        records: What the run's journal has to say of each.
    """

    aggregate: Aggregate
    records: tuple[RecordSum, ...]


@contextmanager
def opened_sums(
    run: Run, exchange: Exchange, layouts: SumLayouts, blobs: BlobStore, folder: Path
) -> Iterator[OpenedSums]:
    """Add the vectors of each complete cell, and decode the sums; what is read of them is read in the block.

    The sums are not kept: they follow from the vectors, which are kept as long as updates of the round.

    Args:
        run: The run.
        exchange: A closed exchange whose sums are masked.
        layouts: Computes layout and context.
        blobs: Where the vectors are.
        folder: For the files of the sums, made and deleted here.

    Raises:
        UpdateError: A number is beyond what members have who keep to their ranges, or a mean would be mostly
            error of rounding, which may be found where the aggregate is read; names the cell.
        StorageError: A blob or the disk.
        TamperedError: A vector is not what was accepted.
    """
    layout = layouts.of(run, exchange)
    try:
        with file_errors(f"make {folder}"):
            folder.mkdir(mode=0o700)
        summed = [
            _summed(run, cell, layout, blobs, folder / f"{place}.safetensors")
            for place, cell in enumerate(complete_cells(exchange))
        ]
        cells = [
            CellWords(
                each.cell.cell, each.cell.members, layouts.context(run, exchange, each.cell), each.words
            )
            for each in summed
        ]
        try:
            found = fold_cells(run.plan, exchange.task, received_of(blobs, exchange), cells)
            yield OpenedSums(found.aggregate, _records(exchange, summed, found.figures))
        except UpdateError as error:
            raise _of_cell(exchange, layout.layout, cells, error) from error
    finally:
        delete_tree(folder)


def complete_cells(exchange: Exchange) -> tuple[CellStanding, ...]:
    """The cells of an exchange that are in its sum, in order of their names."""
    return tuple(cell for cell in exchange.sums.values() if cell.complete and not cell.left_out)


@dataclass(frozen=True, slots=True, eq=False)
class _Summed:
    cell: CellStanding
    words: np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]
    digest: str


def _summed(run: Run, cell: CellStanding, layout: StatedLayout, blobs: BlobStore, path: Path) -> _Summed:
    vectors = [open_vector(blobs.whole(cell.masked[site]), layout.layout) for site in cell.members]
    digest, _ = write_hashed(path, {MASKED: fold_masked(vectors)}, run.plan.digests)
    return _Summed(cell, open_vector(path, layout.layout), digest)


def _records(
    exchange: Exchange, summed: Sequence[_Summed], figures: Mapping[str, CellFigures]
) -> tuple[RecordSum, ...]:
    records = []
    for each in summed:
        cell, figure = each.cell, figures[each.cell.cell]
        assert cell.rho is not None  # it is complete
        records.append(
            RecordSum(
                exchange=exchange.number,
                cell=cell.cell,
                attempt=cell.attempt,
                rho=cell.rho,
                masked=cell.masked,
                sum=each.digest,
                num_examples=figure.num_examples,
                error=figure.error,
                clipped=figure.clipped,
                out_of_range=figure.out_of_range,
            )
        )
    return tuple(records)


def _of_cell(
    exchange: Exchange, layout: Layout, cells: Sequence[CellWords], error: UpdateError
) -> UpdateError:
    """The error with the name of the cell that it is of, found by reading each by itself."""
    place = f"round {exchange.round_number}, {exchange.task}"
    for cell in cells:
        try:
            _read(layout, cell)
        except UpdateError as found:
            return UpdateError(
                f"{place}: the sum of cell {cell.cell} ({', '.join(cell.sites)}) is none: {found.message}",
                mend=found.mend
                or "A member has masked something else than the others, or is beyond its ranges.",
            )
    return UpdateError(f"{place}: {error.message}", mend=error.mend)


def _read(layout: Layout, cell: CellWords) -> None:
    read, _ = flat_reader(cell.words)
    dtypes = {
        entry.name: np.dtype(np.int64 if entry.kind == "whole" else np.float64) for entry in layout.entries
    }
    for tensor in open_sum(layout, len(cell.sites), read, dtypes).tensors.values():
        values, step = flat_reader(tensor.as_array)[0], BLOCK_BYTES // 8
        for begin in range(0, tensor.size, step):
            values(begin, min(begin + step, tensor.size))
