"""Hanse and its peers side by side: seconds a round, ratios, the server's memory and processor time.

    python benchmarks/peers/compare.py --json peers.json --plot peers.svg
    python benchmarks/peers/compare.py --cells 8x1 --json peers.json
    python benchmarks/peers/compare.py --cells 8x100 --json peers.json --append
    python benchmarks/peers/compare.py --plot peers.svg --json peers.json --cells

Systems take turns within a cell, and each pass begins anew: processes, keys, run. A cell is
`SITESxMEGABYTES`. What the peers need is installed at the first call, each in an environment
of its own under --cache. The last form draws what was measured before.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import TENSORS, Cell, Figures, cache, environment
from floor import fold_s, transfer_s
from table import HANSE, summaries, text

SYSTEMS = ("nvflare", "flwr", "openfl", HANSE)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of a cell is measured: rounds timed and seconds given in a pass, and passes."""

    rounds: int
    limit_s: float
    passes: int


# A system that is slow gets through fewer rounds in its time; one timed round is a figure.
EFFORTS = {"8x1": Effort(6, 75, 2), "8x100": Effort(3, 75, 2), "2x1000": Effort(2, 170, 1)}
OTHER = Effort(3, 120, 1)


def main() -> None:
    parser = _parser()
    parser.add_argument("--cells", nargs="*", default=list(EFFORTS), help="SITESxMEGABYTES ...")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--passes", type=int, help="instead of what the cell's default is")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--append", action="store_true", help="add to what the JSON file holds")
    parser.add_argument("--plot", type=Path, help="where to draw it: a file .svg or .png")
    options = parser.parse_args()
    _use(options)
    keep = options.append or not options.cells
    results = json.loads(options.json.read_text()) if keep and options.json.exists() else {"cells": {}}
    for name in options.cells:
        _cell(name, options, results)
    for name, cell in results["cells"].items():
        print("\n" + text(name, cell["floor"], summaries(cell["rows"], cell["floor"])))
    if options.plot:
        bin_ = environment("plot", "matplotlib")
        subprocess.run(
            [bin_ / "python", Path(__file__).with_name("plot.py"), options.json, options.plot], check=True
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="timed at most, in a pass")
    parser.add_argument("--limit", type=float, help="seconds for the rounds of a system, in a pass")
    parser.add_argument("--settings", choices=["fastest", "default"], default="fastest")
    parser.add_argument("--cache", type=Path, default=cache(), help="for the peers' environments")
    return parser


def _use(options: argparse.Namespace) -> None:
    os.environ["HANSE_PEERS_CACHE"] = str(options.cache)


def _cell(name: str, options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure one cell, pass by pass; each row is written as soon as it is there."""
    sites, megabytes = name.split("x")
    effort = EFFORTS.get(name, OTHER)
    cell = Cell(
        int(sites),
        float(megabytes),
        options.rounds or effort.rounds,
        options.limit or effort.limit_s,
        options.settings == "fastest",
    )
    kept = results["cells"].setdefault(name, {"floor": None, "rows": []})
    for number in range(options.passes or effort.passes):
        floors = _floor(cell)
        kept["floors"] = [*kept.get("floors", []), floors]
        kept["floor"] = statistics.median(sum(one.values()) for one in kept["floors"])
        for system in options.systems:
            figures = _measure(system)(cell)
            kept["rows"].append(figures.row() | {"settings": options.settings, "pass": number})
            print(name, _line(figures), flush=True)
            if options.json:
                results["machine"] = {"processors": os.cpu_count(), "python": platform.python_version()}
                options.json.write_text(json.dumps(results, indent=1) + "\n")


def _floor(cell: Cell) -> dict[str, float]:
    size = cell.count * 4 * TENSORS
    return {"transfer": transfer_s(cell.sites, size, cell.rounds), "fold": fold_s(cell.sites, size)}


def _measure(system: str) -> Callable[[Cell], Figures]:
    measure: Callable[[Cell], Figures] = importlib.import_module(f"{system}_round").measure
    return measure


def _line(figures: Figures) -> str:
    times = " ".join(f"{seconds:.3f}" for seconds in figures.rounds)
    line = f"{figures.system} {figures.version}: {times or 'no round'} s, {figures.peak_bytes / 1e6:.0f} MB"
    return line + (f" ({figures.reason})" if figures.reason else "")


def alone(measure: Callable[[Cell], Figures]) -> None:
    """The command of one opponent's script."""
    parser = _parser()
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--megabytes", type=float, default=1)
    options = parser.parse_args()
    _use(options)
    cell = Cell(
        options.sites,
        options.megabytes,
        options.rounds or 5,
        options.limit or 120,
        options.settings == "fastest",
    )
    print(json.dumps(measure(cell).row(), indent=1))


if __name__ == "__main__":
    main()
