"""Checks of files that an untrusted run worker wrote: groups to send, and results."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.core.plan.group_tensors import Received, problem_of_received
from hanse.core.plan.plan import Plan
from hanse.core.run.run import Run
from hanse.core.values.groups import ARRAY_NAME, foreign_tensor
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import TensorSpec, in_words, not_finite
from hanse.errors import WorkflowError
from hanse.storage.base import BlobStore
from hanse.wire.tensors import open_file, read_specs


def check_groups(
    plan: Plan, task: str, model: ModelRef | None, groups: Mapping[str, str], blobs: BlobStore
) -> None:
    """Refuse groups that are not exactly those that a task receives; reads all of them.

    Args:
        plan: The plan.
        task: The task, which the plan has.
        model: The model that is sent with them; None for none.
        groups: Digests of their files, by name.
        blobs: Where those are.

    Raises:
        WorkflowError: Names the group, or the tensor with a NaN or an infinity.
        UpdateError: A file is none of tensors.
    """
    found: dict[str, TensorSpec] = {}
    if task not in plan.tasks:
        raise WorkflowError(f"the plan has no task {task!r}")
    for name, digest in groups.items():
        tensors = open_file(blobs.path(digest))
        _check_names(name, tensors)
        found |= read_specs(blobs.path(digest))
        if bad := not_finite(tensors):
            raise WorkflowError(f"task {task!r} is asked with a NaN or an infinity in {in_words(bad)}")
    sent = Received(None if model is None else read_specs(blobs.path(model.digest)), found)
    if problem := problem_of_received(plan, task, sent):
        raise WorkflowError(f"task {task!r} is asked with other groups than it receives: {problem}")


def check_results(run: Run, results: Mapping[str, str], blobs: BlobStore) -> None:
    """Refuse results that, with those that the run has, are larger than the plan permits.

    Raises:
        WorkflowError: Says how large they are, or which file has other tensors than those of its result.
        UpdateError: A file is none of tensors.
    """
    if not results:  # those that the run has were held against the plan when they came
        return
    for name, digest in results.items():
        tensors = open_file(blobs.path(digest))
        _check_names(name, tensors)
        arrays = [tensor.partition("/")[2] for tensor in tensors if "/" in tensor]
        if not tensors or not all(map(ARRAY_NAME.fullmatch, arrays)):
            raise WorkflowError(f"the result {name!r} has no arrays, or some whose names cannot be written")
    together = {**run.results, **results}
    size = sum(
        array.nbytes for digest in together.values() for array in open_file(blobs.path(digest)).values()
    )
    if size > run.plan.max_result_bytes:
        raise WorkflowError(
            f"the results have {size:,} bytes; by the plan they have at most {run.plan.max_result_bytes:,}",
            mend="Commit less, or set `max_result_bytes` in the plan.",
        )


def _check_names(name: str, tensors: Mapping[str, object]) -> None:
    if (tensor := foreign_tensor(name, tensors)) is not None:
        raise WorkflowError(f"the file of {name!r} has a tensor {tensor[:80]!r}")
