"""A masked sum from results to aggregate, as sites and aggregator take it, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import members_of
from hanse.core.values.parameters import Parameters
from hanse.core.values.seeds import derive
from hanse.core.values.update import ReportedMetrics
from hanse.privacy.secagg.grid import Randomness
from hanse.privacy.secagg.masks import MaskKey
from hanse.updates.drafts import MemoryDraft
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.masked_file import write_masked
from hanse.updates.secure_sums.opened import CellWords, OpenedCells, fold_masked, open_cells
from hanse.updates.secure_sums.prepare import prepare
from hanse.updates.secure_sums.vector_file import open_vector


@dataclass
class Answer:
    """What a site's task gives."""

    tensors: Parameters | None = None
    num_examples: int = 10
    metrics: ReportedMetrics = field(default_factory=dict)


def randomness(seed: int) -> Randomness:
    """Random bytes from a seed."""
    drawn = iter(range(1 << 30))
    return lambda size: hashlib.shake_256(f"{seed} {next(drawn)}".encode()).digest(size)


def context_of(cell: str) -> str:
    """Stands for the context of a cell."""
    return hashlib.sha256(cell.encode()).hexdigest()


def mask_keys(sites: Sequence[str], site: str) -> list[MaskKey]:
    """The keys of one member for its peers."""
    pairs = {other: min(site, other) + max(site, other) for other in sites if other != site}
    return [
        MaskKey(hashlib.sha256(pair.encode()).digest()[:16], 1 if site < other else -1)
        for other, pair in pairs.items()
    ]


def masked_sum(
    plan: Plan, received: Received, answers: Mapping[str, Answer], folder: Path, *, task: str = "train"
) -> OpenedCells:
    """What the plan's cells come to, by way of the files of q and y."""
    layout = sum_layout(plan, task, received)
    cells = []
    for cell in plan.cells:
        sites = members_of(plan, cell)
        vectors = []
        for site in sites:
            answer, origin = answers[site], Origin(plan, task, site, 3, received)
            draft = None if answer.tensors is None else MemoryDraft(answer.tensors)
            q, y = folder / f"{site}.q", folder / f"{site}.y"
            prepared = prepare(
                Outgoing(answer.num_examples, answer.metrics, draft), origin, layout, context_of(cell),
                randomness(derive(7, site)), q,
            )  # fmt: skip
            written = write_masked(q, y, layout, mask_keys(sites, site), plan.digests)
            assert written.q_digest == prepared.digest
            vectors.append(open_vector(y, layout))
        cells.append(CellWords(cell, sites, context_of(cell), fold_masked(vectors)))
    return open_cells(plan, task, received, cells)
