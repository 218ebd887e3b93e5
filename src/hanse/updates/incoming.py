"""Updates that have come: held against the plan, opened as what they say, and folded into a sum."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from hanse.aggregation.groups import GroupFold
from hanse.aggregation.registry import aggregate, aggregate_streamed
from hanse.compression.update import upload_codec
from hanse.core.plan.disclosure import check_ranges, check_tensors, disclosure_of
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.groups import group_of, nested, only_groups, without_groups
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters, TensorSpec
from hanse.core.values.update import Aggregate, Update
from hanse.storage.base import BlobStore
from hanse.updates.origin import Origin
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.opened import CellWords, OpenedCells, open_cells
from hanse.updates.secure_sums.vector_file import check_vector
from hanse.wire.tensors import open_file, read_specs


def check_incoming(update: Parameters, origin: Origin) -> None:
    """Refuse an update that is not exactly what the plan declares; reads all of it.

    Of one that is masked only name, shape and dtype are known: any words may be there.

    Args:
        update: The tensors that came.
        origin: Where they come from.

    Raises:
        DisclosureError: A tensor that is not declared, or one of another shape, dtype or length.
        UpdateError: A NaN or an infinity, or bytes that no site of ours writes.
    """
    codec = origin.codec
    if masks(origin.plan, origin.task):
        layout = sum_layout(origin.plan, origin.task, origin.received)
        check_vector(update, layout.words, layout.ring, str(origin))
    elif codec is None:
        check_tensors(update, origin.received, origin.plan, origin.task, str(origin))
    else:
        codec.check(update, origin.expected, origin.seed, str(origin))
        decoded = only_groups(codec.decode(update, origin.expected, origin.seed))
        # Lossy steps may round what lies at the edge of a range beyond it.
        lossy = origin.plan.compression.groups
        exact = {name: array for name, array in decoded.items() if group_of(name) not in lossy}
        check_ranges(exact, origin.plan, str(origin))


def open_incoming(update: Parameters, origin: Origin) -> Parameters:
    """The tensors that an update stands for, one that `check_incoming` accepts.

    Those that travelled compressed are decoded where they are read.
    """
    codec = origin.codec
    return update if codec is None else codec.decode(update, origin.expected, origin.seed)


def fold(plan: Plan, task: str, updates: Iterable[Update], *, streamed: bool = False) -> Aggregate:
    """Combine the answers of an exchange by the plan's rules; the only way from answers to a sum.

    Args:
        plan: The plan.
        task: The task that was asked.
        updates: The answers, opened, in site order; tensors of groups stand in `delta` among those of
            the update.
        streamed: Whether the arrays of an answer hold only until the next is taken. Each is folded when
            it comes then; answers that lie in files are read side by side, which needs no memory. The
            bits are the same.

    Returns:
        The aggregate. Its tensors may be computed where they are read, from those of the updates; see
        `hanse.core.values.lazy.LazyTensor`.

    Raises:
        UpdateError: No site had examples, or the updates do not fit together; names the sites.
        ValueError: The task is masked: `fold_cells` is for those.
    """
    if masks(plan, task):
        raise ValueError(f"the answers of task {task} are masked, and of a single one nothing is known")
    combine = aggregate_streamed if streamed else aggregate
    disclosure = disclosure_of(plan, task)
    if not disclosure.groups:
        return combine(plan.aggregation, updates)
    groups = GroupFold(disclosure.groups, streamed=streamed)
    found = combine(plan.aggregation, _apart(updates, groups), weighs=disclosure.weighs)
    combined = groups.combined()
    return replace(found, groups=combined.groups, each=combined.each)


def fold_cells(plan: Plan, task: str, received: Received, cells: Sequence[CellWords]) -> OpenedCells:
    """Combine the sums of whole cells; the only way from masked answers to a sum.

    Args:
        plan: The plan.
        task: The task that was asked, one that is masked.
        received: The headers of what its sites started from.
        cells: The complete cells, each with its sum (`hanse.updates.secure_sums.opened.fold_masked`).

    Raises:
        UpdateError: As `hanse.updates.secure_sums.opened.open_cells`.
        QuorumError: As `hanse.updates.secure_sums.opened.open_cells`.
    """
    return open_cells(plan, task, received, cells)


def _apart(updates: Iterable[Update], groups: GroupFold) -> Iterator[Update]:
    """The updates without their groups, which are folded by the way."""
    for update in updates:
        tensors = update.delta or {}
        groups.add(update.site, update.num_examples, only_groups(tensors))
        yield replace(update, delta=without_groups(tensors) or None)
        del update, tensors  # or they would be held while the next ones are made


def opened_answer(plan: Plan, task: str, update: Update) -> Update:
    """An answer with its groups apart from its update; nothing is copied."""
    tensors = update.delta
    if tensors is None or not disclosure_of(plan, task).groups:
        return update
    return replace(update, delta=without_groups(tensors) or None, groups=nested(tensors))


def check_update_blob(blobs: BlobStore, run: Run, exchange: Exchange, site: str, digest: str) -> None:
    """As `check_incoming`, of a blob.

    Raises:
        DisclosureError: As `check_incoming`.
        UpdateError: As `check_incoming`.
        StorageError: A blob is not there, or cannot be read.
    """
    tensors = open_file(blobs.path(digest))
    check_incoming(tensors, _origin(blobs, run, exchange, site))


def open_update_blob(blobs: BlobStore, run: Run, exchange: Exchange, site: str, digest: str) -> Parameters:
    """As `open_incoming`, of a blob that was accepted.

    Raises:
        StorageError: A blob is not there, or cannot be read.
        TamperedError: It is not what was accepted.
    """
    tensors = open_file(blobs.whole(digest))
    if upload_codec(run.plan, exchange.task) is None:
        return tensors
    return open_incoming(tensors, _origin(blobs, run, exchange, site))


class AskedTask(Protocol):
    """A task that sites are asked or are about to be: an exchange, or the command that opens one."""

    @property
    def task(self) -> str:
        """Its name."""
        ...

    @property
    def model(self) -> ModelRef | None:
        """The model that sites receive."""
        ...

    @property
    def inputs(self) -> AskInputs:
        """Inputs beside the model."""
        ...


def received_of(blobs: BlobStore, asked: AskedTask) -> Received:
    """The headers of what the sites of an exchange start from.

    Raises:
        StorageError: A blob is not there, or cannot be read.
    """
    model = None if asked.model is None else _specs_of_blob(blobs.path(asked.model.digest))
    groups: dict[str, TensorSpec] = {}
    for digest in asked.inputs.groups.values():
        groups |= _specs_of_blob(blobs.path(digest))
    return Received(model, groups)


def _origin(blobs: BlobStore, run: Run, exchange: Exchange, site: str) -> Origin:
    return Origin(run.plan, exchange.task, site, exchange.number, received_of(blobs, exchange))


# Of one model for each of its updates; blobs never change.
_specs_of_blob = functools.lru_cache(maxsize=32)(read_specs)
