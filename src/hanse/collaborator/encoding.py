"""What travels in fewer bytes: the update on its way out, the model on its way in; tensor by tensor."""

from __future__ import annotations

from pathlib import Path

from hanse.collaborator.memory import Memory
from hanse.compression.delta import apply_delta
from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.digests import algorithm_of
from hanse.core.plan import Plan
from hanse.errors import UpdateError
from hanse.wire.files import file_errors, replacing
from hanse.wire.messages_sites import Assignment, UpdateFile
from hanse.wire.spool import Spool
from hanse.wire.tensors import open_file, write_hashed


def compress_file(
    path: Path, codec: UpdateCodec, plan: Plan, site: str, asked: Assignment, memory: Memory
) -> UpdateFile:
    """Replace an update file, which was checked, by what travels of it.

    Needs memory for a few tensors; the rest lies in files beside `path` meanwhile.

    Args:
        path: The update; it appears changed as a whole or not at all.
        codec: What compresses.
        plan: The plan.
        site: The site's name.
        asked: What the update answers.
        memory: What earlier updates left out; what this one leaves out is noted there.

    Raises:
        UpdateError: Numbers that cannot be compressed so; names the tensor.
        StorageError: The disk is full or cannot be written.
    """
    seed = update_seed(plan.seed, site, asked.exchange)
    before = memory.before(asked.task) if codec.error_feedback else None
    with Spool(path.with_suffix(".encoded")) as encoded, Spool(path.with_suffix(".left")) as left:
        for tensor in codec.encode(open_file(path), seed, before):
            encoded.add(tensor.name, tensor.data)
            if tensor.left_out is not None:
                left.add(tensor.name, tensor.left_out)
        if codec.error_feedback:
            memory.note(asked.task, asked.exchange, left.tensors())
        digest, size = write_hashed(path, encoded.tensors(), plan.digests)
    return UpdateFile(digest=digest, size=size)


def patch_model(base: Path, delta: Path, *, place: Path, digest: str) -> None:
    """Make a model of the one before and what is new in it.

    Args:
        base: The model before.
        delta: What came.
        place: Where to put the model; it appears whole or not at all.
        digest: What its file has to have.

    Raises:
        UpdateError: What came is none of ours, or does not make that model.
        StorageError: The disk is full or cannot be written.
    """
    with file_errors(f"show {place}"), replacing(place) as part:
        made = apply_delta(open_file(delta), open_file(base))
        found, _ = write_hashed(part, made, algorithm_of(digest))
        if found != digest:
            raise UpdateError(f"what came makes model {found[:12]}, not {digest[:12]}")
