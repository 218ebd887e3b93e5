"""Updates as they lie among the blobs: held against the plan, and opened as what they say."""

from __future__ import annotations

import functools

from hanse.compression.update import update_seed, upload_codec
from hanse.core.plan.disclosure import check_tensors, expected_tensors
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.values.parameters import Parameters, TensorSpec
from hanse.errors import RunError
from hanse.storage.base import BlobStore
from hanse.wire.tensors import open_file, read_specs


def check_update_blob(blobs: BlobStore, run: Run, exchange: Exchange, site: str, digest: str) -> None:
    """Refuse an update that is not exactly what the plan declares; reads all of it.

    Raises:
        DisclosureError: A tensor that is not declared, or one of another shape, dtype or length.
        UpdateError: A NaN or an infinity, or bytes that no site of ours writes.
        StorageError: A blob is not there, or cannot be read.
    """
    tensors = open_file(blobs.path(digest))
    what = f"task {exchange.task} at {site}"
    codec = upload_codec(run.plan, exchange.task)
    if codec is None:
        model = None if exchange.task == INITIALISE else _model_specs(blobs, exchange)
        check_tensors(tensors, model, run.plan, exchange.task, what)
    else:
        seed = update_seed(run.plan.seed, site, exchange.number)
        codec.check(tensors, _expected(blobs, run, exchange), seed, what)


def open_update(blobs: BlobStore, run: Run, exchange: Exchange, site: str, digest: str) -> Parameters:
    """The tensors of an update that was accepted: mapped into memory, or decoded where they are read.

    Raises:
        StorageError: A blob is not there, or cannot be read.
        TamperedError: It is not what was accepted.
    """
    tensors = open_file(blobs.whole(digest))
    codec = upload_codec(run.plan, exchange.task)
    if codec is None:
        return tensors
    seed = update_seed(run.plan.seed, site, exchange.number)
    return codec.decode(tensors, _expected(blobs, run, exchange), seed)


def _expected(blobs: BlobStore, run: Run, exchange: Exchange) -> dict[str, TensorSpec]:
    return expected_tensors(_model_specs(blobs, exchange), run.plan, exchange.task)


def _model_specs(blobs: BlobStore, exchange: Exchange) -> dict[str, TensorSpec]:
    if exchange.model is None:
        raise RunError(f"exchange {exchange.number} has no model")
    return _specs_of_blob(blobs.path(exchange.model))


# Of one model for each of its updates; blobs never change.
_specs_of_blob = functools.lru_cache(maxsize=4)(read_specs)
