"""Draw what `compare.py` measured: seconds a round and the server's memory, cell by cell, on log scales.

python plot.py peers.json peers.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from table import HANSE, Summary, summaries

mpl.use("Agg")
import matplotlib.pyplot as plt

NAMES = {HANSE: "Hanse", "nvflare": "NVFlare", "flwr": "Flower", "openfl": "OpenFL"}
COLOURS = {HANSE: "#0b6e4f", "nvflare": "#9aa5b1", "flwr": "#c3a995", "openfl": "#8d99c6"}


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    cells = json.loads(source.read_text())["cells"]
    figure, axes = plt.subplots(2, 1, figsize=(9, 7.6), constrained_layout=True)
    found = {name: summaries(cell["rows"], cell["floor"]) for name, cell in cells.items()}
    versions = {row["system"]: row["version"] for cell in cells.values() for row in cell["rows"]}
    draw(axes[0], found, lambda one: one.seconds, "seconds a round (log scale)")
    for number, cell in enumerate(cells.values()):
        axes[0].plot([number - 0.45, number + 0.45], [cell["floor"]] * 2, "--", color="black", lw=1)
    axes[0].plot([], [], "--", color="black", lw=1, label="floor: the same bytes over raw TLS, one fold")
    draw(axes[1], found, lambda one: one.peak_bytes / 1e9, "server's private memory, GB (log scale)")
    axes[0].set_title("A round of federated averaging, real deployment on one machine, TLS", loc="left")
    handles, labels = axes[0].get_legend_handles_labels()
    labels = [with_version(label, versions) for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(target, dpi=150)


def with_version(label: str, versions: dict[str, str]) -> str:
    """The name in the legend, with the version that was measured."""
    for system, name in NAMES.items():
        if name == label and system in versions:
            return f"{name} {versions[system]}"
    return label


def draw(axis: Any, found: dict[str, list[Summary]], value: Any, label: str) -> None:
    """One panel: a group of bars a cell, each bar with its figure and its multiple of Hanse's."""
    systems = [name for name in NAMES if any(one.system == name for cell in found.values() for one in cell)]
    width = 0.84 / max(len(systems), 1)
    heights = [value(one) for cell in found.values() for one in cell if value(one)]
    axis.set_yscale("log")
    for place, system in enumerate(systems):
        named = False
        for number, cell in enumerate(found.values()):
            one = next((s for s in cell if s.system == system), None)
            at = number - 0.42 + width * (place + 0.5)
            if one is None:
                continue
            height = value(one)
            if not height:
                axis.text(at, min(heights), "did not\nfinish", ha="center", va="bottom", fontsize=8)
                continue
            axis.bar(at, height, width * 0.92, color=COLOURS[system], label=None if named else NAMES[system])
            named = True
            own = next((value(s) for s in cell if s.system == HANSE), None)
            note = shown(height)
            if own and system != HANSE:
                note += f"\n×{height / own:.3g}"
            axis.text(at, height * 1.06, note, ha="center", va="bottom", fontsize=8)
    axis.set_ylim(min(heights) / 3, max(heights) * 4)
    axis.set_xticks(range(len(found)), [title(name) for name in found])
    axis.set_ylabel(label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", which="major", alpha=0.3)
    axis.set_axisbelow(True)


def shown(value: float) -> str:
    """Two figures that count, without an exponent."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def title(cell: str) -> str:
    sites, megabytes = cell.split("x")
    size = f"{float(megabytes):g} MB" if float(megabytes) < 1000 else f"{float(megabytes) / 1000:g} GB"
    return f"{sites} collaborators, {size}"


if __name__ == "__main__":
    main()
