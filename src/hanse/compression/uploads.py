"""Which updates of a plan are compressed, and by what."""

from __future__ import annotations

from hanse.compression.update import UpdateCodec
from hanse.core.plan import Plan
from hanse.core.tasks import INITIALISE


def upload_codec(plan: Plan, task: str) -> UpdateCodec | None:
    """What takes a task's updates to the aggregator; None where they travel as they are.

    The first model always does: nobody else knows yet what its tensors are.
    """
    if task == INITIALISE or not plan.compression.upload:
        return None
    return UpdateCodec(plan.compression)
