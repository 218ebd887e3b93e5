"""A plan file with the short names of algorithms, to what every party agrees on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanse.algorithms import presets
from hanse.config import load
from hanse.config.load import LoadedPlan


def load_plan(path: Path, changes: Mapping[str, Any] | None = None) -> LoadedPlan:
    """Read a plan file, with an `algorithm` replaced by the keys that it stands for.

    Args:
        path: As of `hanse.config.load.load_plan`.
        changes: Values that stand in place of those in the file, by key of the plan.

    Raises:
        PlanError: Something is wrong with the plan or its code; with every problem, a line each.
    """
    return load.load_plan(path, presets.expanded, changes)
