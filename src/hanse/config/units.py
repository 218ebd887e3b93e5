"""Sizes and durations as people write them: `8GB`, `30m`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hanse.core.values.schema import DURATION_UNITS

_SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
    "TB": 10**12,
    "TiB": 2**40,
}
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*(B|[kKMGT]B|[KMGT]iB)")


def parse_size(value: Any) -> Any:
    """Turn `512MB` or `1.5GiB` into bytes; numbers are bytes already."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value[:80]!r} is not a size; write for example 512MB, 8GB or 1GiB")
        return int(Decimal(match[1]) * _SIZE_UNITS[match[2].replace("KB", "kB")])
    return value


Size = Annotated[
    int, Field(ge=0, le=1 << 50, json_schema_extra={"format": "size"}), BeforeValidator(parse_size)
]
"""A number of bytes."""


def format_size(size: int) -> str | int:
    """Write a number of bytes in the largest unit that says it exactly."""
    for unit, length in reversed(_SIZE_UNITS.items()):
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
