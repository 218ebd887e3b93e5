"""Inputs of a task beside the model: groups, settings, and the cells that are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from hanse.core.values.schema import BlobDigest, Strict


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

_FIELDS = ("groups", "settings", "cells", "counted", "members", "secure_sum", "of_data")


class StatedInputs(Strict):
    """Base of whatever states what sites received beside the model.

    Writing leaves out what is not there, so that an ask with the model alone is written as before 0.2.

    Attributes:
        groups: Digests of the groups that the sites receive, by name.
        settings: Settings of the task that the workflow chose, of those that vary by the plan.
        cells: The cells that are asked; None for the cohort, or sites that the workflow chose.
    """

    groups: dict[str, BlobDigest] = Field(default_factory=dict, max_length=20)
    settings: dict[str, int | float] = Field(default_factory=dict, max_length=50)
    cells: tuple[str, ...] | None = Field(None, max_length=1_000)

    @property
    def inputs(self) -> AskInputs:
        """The same as a value."""
        return AskInputs(self.groups, self.settings, self.cells)

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key not in _FIELDS or value}


def stated(inputs: AskInputs) -> dict[str, Any]:
    """The fields of `StatedInputs`."""
    return {"groups": dict(inputs.groups), "settings": dict(inputs.settings), "cells": inputs.cells}
