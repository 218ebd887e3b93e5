"""Updates on their way out of a site: checked against the declaration, then compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.plan.disclosure import check_result, check_tensors
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import specs
from hanse.errors import DisclosureError
from hanse.files.errors import file_errors
from hanse.updates.residuals import Residuals
from hanse.wire.messages.sites import Assignment, UpdateFile
from hanse.wire.spool import Spool
from hanse.wire.tensors import open_file, read_specs, tensors_size, write_hashed


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a worker wants to send.

    Attributes:
        num_examples: Examples that the task worked on.
        metrics: Numbers by name.
        update: The file with the update, where nobody but the agent can change it any more.
    """

    num_examples: int
    metrics: Mapping[str, float]
    update: Path | None


def check_outgoing(
    outgoing: Outgoing, plan: Plan, task: str, site: str, model: Path | None, max_bytes: int
) -> None:
    """Refuse whatever is not exactly what the plan declares.

    Args:
        outgoing: What is about to leave.
        plan: The plan that the site accepted.
        task: The task's name.
        site: The site's name, for the messages.
        model: The parameters that the task started from; None for the first model.
        max_bytes: Largest update file that the aggregator takes.

    Raises:
        DisclosureError: Something is not declared, or declared and missing.
        UpdateError: A NaN, an infinity, an impossible number, or no file of tensors.
        StorageError: A file cannot be read.
    """
    what = f"task {task} at {site}"
    check_result(outgoing, plan, task, what)
    if outgoing.update is None:
        return
    with file_errors(f"read {outgoing.update}"):
        size = outgoing.update.stat().st_size
    if size > max_bytes:
        raise DisclosureError(f"the update of {what} has {size} bytes; at most {max_bytes} are taken")
    tensors = open_file(outgoing.update)
    check_tensors(tensors, None if model is None else read_specs(model), plan, task, what)
    # Metadata in the header would be text that nobody declared.
    if size != tensors_size(specs(tensors)):
        raise DisclosureError(f"the update file of {what} holds more than the declared tensors")


def compress_file(
    path: Path, codec: UpdateCodec, plan: Plan, site: str, asked: Assignment, memory: Residuals
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
