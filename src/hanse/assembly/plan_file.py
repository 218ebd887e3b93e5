"""A plan file with the short names of algorithms, to what every party agrees on."""

from __future__ import annotations

from pathlib import Path

from hanse.algorithms import presets
from hanse.config import load
from hanse.config.load import LoadedPlan


def load_plan(path: Path) -> LoadedPlan:
    """Read a plan file, with an `algorithm` replaced by the keys that it stands for.

    Args:
        path: As of `hanse.config.load.load_plan`.

    Raises:
        PlanError: Something is wrong with the plan or its code; with every problem, a line each.
    """
    return load.load_plan(path, presets.expanded)
