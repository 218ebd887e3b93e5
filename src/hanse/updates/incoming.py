"""Updates that have come: held against the plan, opened as what they say, and folded into a sum."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from hanse.aggregation.registry import aggregate, aggregate_streamed
from hanse.compression.update import upload_codec
from hanse.core.plan.disclosure import check_tensors
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Aggregate, Update
from hanse.errors import RunError
from hanse.storage.base import BlobStore
from hanse.updates.origin import Origin
from hanse.wire.tensors import open_file, read_specs


def check_incoming(update: Parameters, origin: Origin) -> None:
    """Refuse an update that is not exactly what the plan declares; reads all of it.

    Args:
        update: The tensors that came.
        origin: Where they come from.

    Raises:
        DisclosureError: A tensor that is not declared, or one of another shape, dtype or length.
        UpdateError: A NaN or an infinity, or bytes that no site of ours writes.
    """
    codec = origin.codec
    if codec is None:
        check_tensors(update, origin.model, origin.plan, origin.task, str(origin))
    else:
        codec.check(update, origin.expected, origin.seed, str(origin))


def open_incoming(update: Parameters, origin: Origin) -> Parameters:
    """The tensors that an update stands for, one that `check_incoming` accepts.

    Those that travelled compressed are decoded where they are read.
    """
    codec = origin.codec
    return update if codec is None else codec.decode(update, origin.expected, origin.seed)


def fold(plan: Plan, updates: Iterable[Update], *, streamed: bool = False) -> Aggregate:
    """Combine the answers of an exchange by the plan's rule; the only way from answers to a sum.

    Args:
        plan: The plan.
        updates: The answers, opened, in site order.
        streamed: Whether the arrays of an answer hold only until the next is taken. Each is folded when
            it comes then; answers that lie in files are read side by side, which needs no memory. The
            bits are the same.

    Returns:
        The aggregate. Its tensors may be computed where they are read, from those of the updates; see
        `hanse.core.values.lazy.LazyTensor`.

    Raises:
        UpdateError: No site had examples, or the updates do not fit together; names the sites.
    """
    combine = aggregate_streamed if streamed else aggregate
    return combine(plan.aggregation, updates)


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


def _origin(blobs: BlobStore, run: Run, exchange: Exchange, site: str) -> Origin:
    model = None
    if exchange.task != INITIALISE:
        if exchange.model is None:
            raise RunError(f"exchange {exchange.number} has no model")
        model = _specs_of_blob(blobs.path(exchange.model.digest))
    return Origin(run.plan, exchange.task, site, exchange.number, model)


# Of one model for each of its updates; blobs never change.
_specs_of_blob = functools.lru_cache(maxsize=4)(read_specs)
