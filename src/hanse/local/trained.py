"""Check that the tensors which a task trained are those that are trained by the plan."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hanse.core.values.parameters import Parameters, is_floating, personal_names, tied_names
from hanse.errors import TaskError


def check_trained(
    task: str,
    received: Parameters,
    after: Parameters,
    corrected: Collection[str],
    untrained: Collection[str],
) -> None:
    """Check that gradients trained the tensors that the workflow will act on, and no others.

    Args:
        task: Name of the task.
        received: The model before.
        after: And after training.
        corrected: Names of the tensors of which gradients were corrected.
        untrained: Patterns of the tensors that no gradient trains, by the plan.

    Raises:
        TaskError: A tensor that no gradient trains by the plan had one, or another changed without one.
    """
    passed = personal_names(received, untrained)
    for name in sorted(passed & set(corrected)):
        raise TaskError(
            f"task {task} corrected a gradient of {name!r}, which by the plan no gradient trains",
            mend="Write `aggregation: {untrained: [...]}` in the plan, with patterns that do not fit it.",
        )
    changed = [
        name
        for name, array in after.items()
        if name in received and name not in passed and name not in corrected and is_floating(array.dtype)
        if not np.array_equal(array, received[name], equal_nan=True)
    ]
    if not changed:
        return
    # A tied weight changes under each of its names, and has a gradient under one.
    known = {name: received[name] for name in after if name in received}
    ties = tied_names([known, {name: after[name] for name in known}])
    trained = {ties.get(name, name) for name in corrected}
    for name in changed:
        if ties.get(name, name) not in trained:
            raise TaskError(
                f"task {task} changed {name!r}, of which it corrected no gradient",
                mend="If no gradient trains it, add it to `aggregation: {untrained: [...]}` of the plan: it "
                "then becomes the mean of the sites'. If one does, give it to `correct` with the others.",
            )
