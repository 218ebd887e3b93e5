"""What is about to leave the site, held against what the plan declares: the last gate, outside the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hanse.core.disclosure import check_examples, check_metrics, check_update, declared, disclosure_of
from hanse.core.parameters import specs
from hanse.core.plan import Plan
from hanse.errors import DisclosureError
from hanse.wire.files import file_errors
from hanse.wire.tensors import open_file, read_specs, tensors_size


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
    disclosure = disclosure_of(plan, task)
    check_examples(outgoing.num_examples, what)
    check_metrics(outgoing.metrics, disclosure, what)
    if disclosure.update == "none":
        if outgoing.update is not None:
            raise DisclosureError(f"{what} would disclose an update; the plan declares none")
        return
    if outgoing.update is None:
        raise DisclosureError(f"{what} gave no update, and the plan declares one")
    with file_errors(f"read {outgoing.update}"):
        size = outgoing.update.stat().st_size
    if size > max_bytes:
        raise DisclosureError(f"the update of {what} has {size} bytes; at most {max_bytes} are taken")
    tensors = open_file(outgoing.update)
    expected = specs(tensors) if model is None else declared(read_specs(model), disclosure)
    check_update(tensors, expected, what)
    # Metadata in the header would be text that nobody declared.
    if size != tensors_size(expected):
        raise DisclosureError(f"the update file of {what} holds more than the declared tensors")
