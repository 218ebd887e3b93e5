"""What the table of `benchmarks/peers/` makes of measured rows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "peers" / "table.py"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers_table", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers_table"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def row(system: str, *rounds: float, peak: int = 1, reason: str = "") -> dict[str, Any]:
    return {
        "system": system,
        "rounds": list(rounds),
        "peak_bytes": peak,
        "cpu_seconds_a_round": 0.5,
        "reason": reason,
    }


def test_a_systems_median_is_over_the_rounds_of_all_passes(table: ModuleType) -> None:
    rows = [row("hanse", 1.0, 2.0, peak=3), row("hanse", 9.0, peak=7)]

    (found,) = table.summaries(rows, floor_s=0.5)

    assert (found.seconds, found.fastest, found.slowest, found.rounds) == (2.0, 1.0, 9.0, 3)
    assert found.peak_bytes == 7


def test_ratios_are_to_hanse_and_to_the_floor(table: ModuleType) -> None:
    rows = [row("peer", 8.0), row("hanse", 2.0)]

    first, second = table.summaries(rows, floor_s=0.5)

    assert (first.system, first.to_hanse, first.to_floor) == ("hanse", 1.0, 4.0)
    assert (second.system, second.to_hanse, second.to_floor) == ("peer", 4.0, 16.0)


def test_a_system_without_a_timed_round_is_listed_last_with_its_reason(table: ModuleType) -> None:
    rows = [row("peer", reason="server ended with 1: out of memory"), row("hanse", 2.0)]

    last = table.summaries(rows, floor_s=0.5)[-1]

    assert (last.system, last.seconds, last.to_hanse) == ("peer", None, None)
    assert "did not finish: server ended with 1: out of memory" in table.text("8x1", 0.5, [last])
