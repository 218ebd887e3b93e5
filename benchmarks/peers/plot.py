"""Draw what `compare.py` measured: seconds a round and the server's memory, cell by cell, on log scales.

python plot.py peers.json peers.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from table import HANSE, Summary, summaries

mpl.use("Agg")
import matplotlib.pyplot as plt

NAMES = {HANSE: "Hanse", "nvflare": "NVFlare", "flwr": "Flower", "openfl": "OpenFL"}
COLOURS = {HANSE: "#0b6e4f", "nvflare": "#9aa5b1", "flwr": "#c3a995", "openfl": "#8d99c6"}
Cells = dict[str, list[Summary]]


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    cells = json.loads(source.read_text())["cells"]
    found = {name: summaries(cell["rows"], cell["floor"]) for name, cell in cells.items()}
    rows = [row for cell in cells.values() for row in cell["rows"]]
    versions = {row["system"]: row["version"] for row in rows}
    # Hanse first, then each peer, and beside it the same with other settings.
    order = sorted(versions, key=lambda name: (list(NAMES).index(name.split()[0]), name))
    figure, axes = plt.subplots(2, 1, figsize=(9, 7.8), constrained_layout=True)
    floors = [cell["floor"] for cell in cells.values()]
    draw(axes[0], found, order, lambda one: one.seconds, floors)
    for number, floor in enumerate(floors):
        axes[0].plot([number - 0.45, number + 0.45], [floor] * 2, "--", color="black", lw=1)
    line = axes[0].plot([], [], "--", color="black", lw=1)[0]
    axes[0].set_ylabel("seconds a round, median (log scale)")
    draw(axes[1], found, order, lambda one: one.peak_bytes / 1e9, [])
    axes[1].set_ylabel("server's private memory, GB, peak (log scale)")
    figure.suptitle(
        "A round of federated averaging in real deployments over TLS, one machine\n"
        "above each bar: its value, and how many times Hanse's that is",
        fontsize=11,
    )
    bars = [axes[0].bar(0, 0, **look(name)) for name in order]
    labels = [label(name, versions[name]) for name in order]
    floor_label = "floor: the same bytes over raw TLS, one fold"
    figure.legend(
        [line, *bars], [floor_label, *labels], loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    figure.savefig(target, dpi=150)


def look(system: str) -> dict[str, Any]:
    """Colour of a system's bars; settings other than the fastest are hatched."""
    hatch = "///" if " " in system else None
    return {"color": COLOURS[system.split()[0]], "hatch": hatch, "edgecolor": "white"}


def label(system: str, version: str) -> str:
    """A system as the legend names it."""
    base, _, settings = system.partition(" ")
    return f"{NAMES[base]} {version} {settings}".strip()


def draw(
    axis: Any,
    found: Cells,
    order: Sequence[str],
    value: Callable[[Summary], float | None],
    floors: Sequence[float],
) -> None:
    """One panel: a group of bars a cell, each with its figure and its multiple of Hanse's."""
    width = 0.84 / len(order)
    heights = [height for cell in found.values() for one in cell if (height := value(one))]
    low, high = min([*heights, *floors]) / 2, max(heights) * 4
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    for number, cell in enumerate(found.values()):
        own = next((value(one) for one in cell if one.system == HANSE), None)
        for one in cell:
            at, height = number - 0.42 + width * (order.index(one.system) + 0.5), value(one)
            note = "did not\nfinish" if not height else shown(height)
            if height:
                axis.bar(at, height, width * 0.92, **look(one.system))
                if own and one.system != HANSE:
                    note += f"\n×{shown(height / own)}"
            axis.text(at, (height or low) * 1.06, note, ha="center", va="bottom", fontsize=8)
    axis.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda tick, _: f"{tick:g}"))
    axis.set_xticks(range(len(found)), [title(name) for name in found])
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", which="major", alpha=0.3)
    axis.set_axisbelow(True)


def shown(number: float) -> str:
    """Two figures that count, without an exponent."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def title(cell: str) -> str:
    """`8x100` in words."""
    sites, megabytes = cell.split("x")
    size = f"{float(megabytes):g} MB" if float(megabytes) < 1000 else f"{float(megabytes) / 1000:g} GB"
    return f"{sites} collaborators, {size}"


if __name__ == "__main__":
    main()
