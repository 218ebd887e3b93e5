"""Hanse and its peers side by side: seconds a round, ratios, the server's memory and processor time.

    python benchmarks/peers/compare.py --json peers.json --plot peers.svg
    python benchmarks/peers/compare.py --cells 8x1 --json peers.json
    python benchmarks/peers/compare.py --cells 8x100 --json peers.json --append
    python benchmarks/peers/compare.py --cells 8x1 --systems flwr flwr_secagg hanse hanse_secagg
    python benchmarks/peers/compare.py --plot peers.svg --json peers.json --cells

Systems take turns within a cell, and each pass begins anew: processes, keys, run. A cell is
`SITESxMEGABYTES`. What the peers need is installed at the first call, each in an environment
of its own under --cache. The last form draws what was measured before.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import TENSORS, Cell, Figures, cache, environment
from floor import fold_s, transfer_s
from table import HANSE, summaries, text

SYSTEMS = ("nvflare", "flwr", "openfl", HANSE)
SECURE = ("flwr_secagg", "hanse_secagg")
"""With secure aggregation; measured where they are asked for."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of a cell is measured: rounds and seconds of a system in a pass (see `Cell`), and passes."""

    rounds: int
    limit_s: float
    passes: int


EFFORTS = {"8x1": Effort(6, 30, 2), "8x100": Effort(3, 60, 1), "2x1000": Effort(2, 80, 1)}
OTHER = Effort(3, 60, 1)


def main() -> None:
    parser = _parser()
    parser.add_argument("--cells", nargs="*", default=list(EFFORTS), help="SITESxMEGABYTES ...")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS + SECURE)
    parser.add_argument("--passes", type=int, help="instead of what the cell's default is")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--append", action="store_true", help="add to what the JSON file holds")
    parser.add_argument("--plot", type=Path, help="where to draw it: a file .svg or .png")
    options = parser.parse_args()
    if not options.json and (options.append or options.plot or not options.cells):
        parser.error("--append, --plot and an empty --cells need --json")
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
    parser.add_argument(
        "--limit",
        type=float,
        help="seconds after which one timed round of a system is enough; three times as many end it",
    )
    parser.add_argument(
        "--settings",
        nargs="+",
        choices=["fastest", "default"],
        default=["fastest"],
        help="of the peers: documented intervals as low as they go, or as they come",
    )
    parser.add_argument("--cache", type=Path, default=cache(), help="for the peers' environments")
    return parser


def _use(options: argparse.Namespace) -> None:
    os.environ["HANSE_PEERS_CACHE"] = str(options.cache)
    # Asked to end, it ends everything that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _cell(name: str, options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure one cell, pass by pass; each row is written as soon as it is there."""
    effort = EFFORTS.get(name, OTHER)
    kept = results["cells"].setdefault(name, {"floors": [], "rows": []})
    for number in range(options.passes or effort.passes):
        cell = _of(name, options, effort)
        kept["floors"].append(_floor(cell))
        kept["floor"] = statistics.median(sum(one.values()) for one in kept["floors"])
        for system, settings in itertools.product(options.systems, options.settings):
            ours = system.startswith(HANSE)
            if ours and settings != options.settings[0]:
                continue  # it has nothing to set
            figures = _measure(system)(replace(cell, tuned=settings == "fastest"))
            label = system if ours or settings == "fastest" else f"{system} as it comes"
            kept["rows"].append(figures.row() | {"system": label, "pass": number})
            print(name, settings, _line(figures), flush=True)
            if options.json:
                results["machine"] = {"processors": os.cpu_count(), "python": platform.python_version()}
                options.json.write_text(json.dumps(results, indent=1) + "\n")


def _of(name: str, options: argparse.Namespace, effort: Effort) -> Cell:
    sites, megabytes = name.split("x")
    rounds, limit_s = options.rounds or effort.rounds, options.limit or effort.limit_s
    return Cell(int(sites), float(megabytes), rounds, limit_s)


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
    name = f"{options.sites}x{options.megabytes:g}"
    cell = _of(name, options, EFFORTS.get(name, OTHER))
    for settings in options.settings:
        figures = measure(replace(cell, tuned=settings == "fastest"))
        print(json.dumps(figures.row() | {"settings": settings}, indent=1))


if __name__ == "__main__":
    main()
