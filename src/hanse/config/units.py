"""Sizes and durations as people read them: `8GB`, `30m`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from hanse.core.values.schema import DURATION_UNITS, SIZE_UNITS


def format_size(size: int) -> str | int:
    """Write a number of bytes in the largest unit that says it exactly."""
    for unit, length in reversed(SIZE_UNITS.items()):
        if size and size % length == 0:
            return f"{size // length}{unit}"
    return size


def format_duration(seconds: float) -> str | float:
    """Write seconds in the largest unit that says them in a whole number; as they are where none does."""
    for unit, length in reversed(DURATION_UNITS.items()):
        count = round(seconds / length)
        if count and count * length == seconds:
            return f"{count}{unit}"
    return seconds


def _from_the_file(value: Path, info: ValidationInfo) -> Path:
    if "\0" in str(value) or str(value).startswith("~"):
        raise ValueError(f"{str(value)!r} should be a path, absolute or from the folder of this file")
    return info.context["root"] / value if info.context else value


FilePath = Annotated[Path, AfterValidator(_from_the_file)]
"""A path in settings; a relative one starts at the folder of the file."""
