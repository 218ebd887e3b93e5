"""From measured rows to a table of ratios: pure, so that the plot and a piecewise run share it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HANSE = "hanse"


@dataclass(frozen=True, slots=True)
class Summary:
    """One system in one cell, over all passes.

    Attributes:
        system: Its name.
        rounds: How many were timed.
        seconds: Median a round; None: no round was timed.
        fastest: Least of them.
        slowest: Most of them.
        to_hanse: How many times Hanse's median this is.
        to_floor: How many times the floor this is.
        peak_bytes: Most private memory of its server.
        cpu_seconds: Processor time of its server, a round.
        reason: Why it did not finish, or "".
    """

    system: str
    rounds: int
    seconds: float | None
    fastest: float | None
    slowest: float | None
    to_hanse: float | None
    to_floor: float | None
    peak_bytes: int
    cpu_seconds: float | None
    reason: str


def summaries(rows: Sequence[Mapping[str, Any]], floor_s: float | None) -> list[Summary]:
    """One summary a system, fastest first; those without a timed round last."""
    medians = {name: _median(_rounds(rows, name)) for name in _names(rows)}
    found = [_summary(rows, name, medians.get(HANSE), floor_s) for name in medians]
    return sorted(found, key=lambda s: (s.seconds is None, s.seconds or 0.0))


def _summary(
    rows: Sequence[Mapping[str, Any]], name: str, hanse_s: float | None, floor_s: float | None
) -> Summary:
    own = [row for row in rows if row["system"] == name]
    times = _rounds(rows, name)
    seconds = _median(times)
    return Summary(
        system=name,
        rounds=len(times),
        seconds=seconds,
        fastest=min(times, default=None),
        slowest=max(times, default=None),
        to_hanse=_ratio(seconds, hanse_s),
        to_floor=_ratio(seconds, floor_s),
        peak_bytes=max(row["peak_bytes"] for row in own),
        cpu_seconds=_median([row["cpu_seconds_a_round"] for row in own if row["cpu_seconds_a_round"]]),
        reason="; ".join(dict.fromkeys(row["reason"] for row in own if row["reason"])),
    )


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["system"] for row in rows))


def _rounds(rows: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    return [seconds for row in rows if row["system"] == name for seconds in row["rounds"]]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _ratio(value: float | None, unit: float | None) -> float | None:
    return value / unit if value is not None and unit else None


def text(title: str, floor_s: float | None, found: Sequence[Summary]) -> str:
    """A cell as a table for people."""
    head = f"{'system':22} {'s/round':>9} {'(fastest - slowest)':>21} {'rounds':>6} "
    head += f"{'x Hanse':>8} {'x floor':>8} {'server MB':>9} {'CPU s/round':>11}"
    lines = [title, head, f"{'floor':22} {_number(floor_s, 3):>9}"]
    for one in found:
        spread = f"({_number(one.fastest, 3)} - {_number(one.slowest, 3)})"
        line = f"{one.system:22} {_number(one.seconds, 3):>9} {spread:>21} {one.rounds:6} "
        line += f"{_number(one.to_hanse, 1):>8} {_number(one.to_floor, 1):>8} "
        line += f"{one.peak_bytes / 1e6:9.0f} {_number(one.cpu_seconds, 2):>11}"
        lines.append(line)
        if one.reason:
            lines.append(f"{'':22} did not finish: {one.reason}")
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
