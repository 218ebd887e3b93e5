"""Steps of a site's part in a masked sum, as tests of faults hear of them."""

from __future__ import annotations

from hanse.fault_points import FaultPoint, reach


def note_step(step: str) -> None:
    """Report to tests of faults that a step is done; on a thread."""
    reach(FaultPoint.AFTER_SUM, step=step)
