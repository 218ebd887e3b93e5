"""Inputs of a task beside the model: groups, settings, and the cells that are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AskInputs:
    """Inputs of a task beside the model.

    Attributes:
        groups: Digest of the file of each group, by the group's name.
        settings: Settings of the task that the workflow chose, of those that vary by the plan.
        cells: The cells that are asked; None for all of the cohort.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, int | float] = field(default_factory=dict)
    cells: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """In words, for messages; empty where there is nothing."""
        told = [f"group {name} {digest[:12]}" for name, digest in sorted(self.groups.items())]
        told += [f"{name} {value}" for name, value in sorted(self.settings.items())]
        if self.cells is not None:
            told.append(f"cells {', '.join(self.cells)}")
        return ", ".join(told)


NOTHING_BESIDE = AskInputs()
"""An ask with the model alone."""
