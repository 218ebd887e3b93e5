"""Wording of lists, parts, times and reasons in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

MOST_NAMED = 10
"""Names that a sentence lists."""
_LONGEST_REASON = 200


def and_more(parts: Sequence[str], most: int, count: int | None = None) -> list[str]:
    """The first of many parts, with `and 3 more` as the last.

    Args:
        parts: The parts, or the first of them.
        most: Parts to keep.
        count: How many parts there are, where `parts` are not all.
    """
    left = max(count or 0, len(parts)) - most
    return [*parts[:most], *([f"and {left} more"] if left > 0 else [])]


def named(names: Sequence[str], most: int = MOST_NAMED, count: int | None = None) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`; of many, the first and how many more.

    Args:
        names: The names, or the first of them.
        most: Names to list.
        count: How many names there are, where `names` are not all.
    """
    *first, last = and_more(names, most, count) or [""]
    between = " " if max(count or 0, len(names)) > most else " and "
    return between.join(filter(None, [", ".join(first), last]))


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 record`, `2 records`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def in_phase(phase: str) -> str:
    """The predicate of a sentence about a run: `is running`, `has failed`."""
    return "has failed" if phase == "failed" else f"is {phase}"


def format_time(time_ms: int | None) -> str:
    """A time in milliseconds since 1970 as people read it, UTC; a dash for None."""
    if time_ms is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, OSError, ValueError):  # a peer may state any number
        return f"{time_ms} ms after 1970"


def percent(part: float) -> str:
    """A part of one in percent, in three figures at most."""
    return f"{100 * part:.3g} %"


def visible(line: str) -> str:
    """A text as part of one line: line breaks and what a terminal would act on are escaped."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def bounded(text: str, most: int) -> str:
    """A text that a record can hold: valid Unicode, cut with an ellipsis after `most` characters."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return valid if len(valid) <= most else f"{valid[: most - 1]}…"


def shortened(reason: str) -> str:
    """A reason in a line."""
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"
