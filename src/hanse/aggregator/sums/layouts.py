"""Layout and context of a masked sum, as the aggregator computes them from its own exchange."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.run.sums.standing import CellStanding
from hanse.privacy.secagg.layout import Layout
from hanse.storage.base import BlobStore
from hanse.updates.incoming import AskedTask, received_of
from hanse.updates.secure_sums.context import context_of_cell
from hanse.updates.secure_sums.layout import sum_layout

_MOST_REMEMBERED = 64

_Key = tuple[str, str, str | None, tuple[tuple[str, str], ...]]
"""Plan, task, model and groups: all that a layout follows from."""


@dataclass(frozen=True, slots=True)
class StatedLayout:
    """A layout with what is asked of it again and again.

    Attributes:
        layout: The layout.
        digest: Its digest.
        words: Its number of words.
    """

    layout: Layout
    digest: str
    words: int


class SumLayouts:
    """Layouts of masked exchanges, each computed once; methods may be called from any thread.

    Args:
        federation: Name of the federation.
        blobs: Where the models and groups are that sites receive.
    """

    def __init__(self, federation: str, blobs: BlobStore) -> None:
        self.federation = federation
        self._blobs = blobs
        self._lock = threading.Lock()
        self._known: dict[_Key, StatedLayout] = {}

    def of(self, run: Run, asked: AskedTask) -> StatedLayout:
        """The layout of a task whose results are masked; reads the headers of what sites receive.

        Raises:
            PlanError: The plan bounds other tensors than there are; see `sum_layout`.
            StorageError: A blob is not there, or cannot be read.
        """
        model = None if asked.model is None else asked.model.digest
        key = run.plan_digest, asked.task, model, tuple(sorted(asked.inputs.groups.items()))
        with self._lock:
            if key not in self._known:
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                layout = sum_layout(run.plan, asked.task, received_of(self._blobs, asked))
                self._known[key] = StatedLayout(layout, layout.digest, layout.words)
            return self._known[key]

    def vector_bytes(self, run: Run, exchange: Exchange) -> int:
        """Bytes of the words of one site's vector.

        Raises:
            StorageError: As `of`.
        """
        stated = self.of(run, exchange)
        return stated.words * stated.layout.ring // 8

    def context(self, run: Run, exchange: Exchange, cell: CellStanding) -> str:
        """Digest of the context of a cell, which every READY has to state.

        Raises:
            StorageError: As `of`.
        """
        layout = self.of(run, exchange).digest
        return context_of_cell(
            run, exchange, cell, layout, federation=self.federation, submitted_ms=run.submitted_ms
        )
