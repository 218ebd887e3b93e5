"""Rounds of several checkouts in turn: what a change costs, or saves.

    python benchmarks/versus.py ../before .                                   2 sites, 1 MB
    python benchmarks/versus.py ../before . --sites 8 --megabytes 100 --turns 5

Each checkout has its own environment in `.venv`. In each turn every checkout is
measured once, so that whatever else the machine does meets all of them. Beside
the time of a round stands the processor time of all processes of the federation,
which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from round import measure
print(json.dumps(measure(*map(int, sys.argv[2:]))))
"""
FIGURES = {"seconds": "s/round", "all_cpu_seconds_a_round": "CPU s/round", "peak_memory": "agg. bytes peak"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", nargs="+", type=Path, help="the first is what the others are beside")
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--megabytes", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tensors", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    size = int(options.megabytes * 1_000_000)
    arguments = [options.sites, size, options.rounds, options.tensors]
    found: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in options.checkouts}
    for turn in range(options.turns):
        # In another order each time: the first after a pause may be the fastest.
        for checkout in options.checkouts[:: 1 if turn % 2 == 0 else -1]:
            found[checkout].append(measured(checkout, arguments))
    print(f"{options.sites} sites, {options.megabytes:g} MB, {options.rounds} rounds, {options.turns} turns")
    for figure, name in FIGURES.items():
        first = statistics.median(row[figure] for row in found[options.checkouts[0]])
        for checkout, rows in found.items():
            values = sorted(row[figure] for row in rows)
            median = statistics.median(values)
            spread = f"{values[0]:.4g} to {values[-1]:.4g}"
            print(f"{name:16} {checkout!s:20} {median:10.4g} ({spread}), {median / first:.3f} of the first")


def measured(checkout: Path, arguments: list[int]) -> dict[str, float]:
    command = [checkout.absolute() / ".venv" / "bin" / "python", "-c", CODE, Path(__file__).absolute().parent]
    done = subprocess.run([*map(str, command), *map(str, arguments)], stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
