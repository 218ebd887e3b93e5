"""Draws the pictures of the page from results.json and the models of `study.py --models DIR`.

python figures.py MODELS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import phantoms
import study
import torch
from brats import REGIONS, Patient
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from safetensors.numpy import load_file
from unet import dice

IMAGES = Path(__file__).parents[3] / "docs" / "images"
TITLES = {"wt": "Whole tumour", "tc": "Tumour core", "et": "Enhancing tumour"}
TESTS = {"all": "new phantoms\nof the 71 institutions", "unseen": "institutions\nnot trained with"}
COLOURS = {"federated": "#1f6feb", "alone": "#c4a35a", "pooled": "#8a8f98"}
PARTS = {"oedema": "#3aa76d", "core that does not enhance": "#4c6fff", "enhancing": "#ffd23f"}
SHOWN = (3, 7, 1_001)
"""Seed, institution and number of the phantom in the picture of slices."""
OTHER_SCANNER = 65

mpl.rcParams.update(
    {"font.size": 9, "svg.hashsalt": "hanse", "axes.spines.top": False, "axes.spines.right": False}
)


def label(contender: str, sizes: list[int]) -> str:
    """What a contender is called in a picture."""
    if contender.startswith("alone"):
        rank = int(contender.split()[1])
        return f"no. {rank}\n({sizes[rank - 1]})"
    return {"federated": "all 71\nfeder.", "pooled": "all 71\npooled"}[contender]


def draw_dice(results: dict[str, Any], file: Path) -> None:
    """Bars of Dice by region, contender and test, with a dot for each seed."""
    seeds = results["seeds"]
    contenders = sorted(next(iter(seeds.values())), key=lambda name: ("federated", "pooled").count(name))
    figure, axes = plt.subplots(2, 3, figsize=(8.4, 4.8), sharey=True, sharex=True)
    for row, (test, title) in zip(axes, TESTS.items(), strict=True):
        for axis, region in zip(row, REGIONS, strict=True):
            for place, name in enumerate(contenders):
                found = [run[name]["dice"][test][region] for run in seeds.values() if name in run]
                axis.bar(place, np.mean(found), 0.7, color=COLOURS[name.split()[0]])
                if len(found) > 1:
                    axis.plot([place] * len(found), found, ".", color="#222", ms=4)
                axis.text(place, 0.02, f"{np.mean(found):.2f}", ha="center", color="white", fontsize=8)
            axis.set_ylim(0, 1)
            axis.set_xticks(range(len(contenders)), [label(name, results["sizes"]) for name in contenders])
            axis.tick_params("x", labelsize=7, length=0)
            if test == "all":
                axis.set_title(TITLES[region])
        row[0].set_ylabel(f"Dice, {title}", fontsize=8)
    figure.tight_layout()
    _save(figure, file)


def draw_sizes(sizes: list[int], file: Path) -> None:
    """A bar for each institution, largest first."""
    figure, axis = plt.subplots(figsize=(8.4, 2.2))
    axis.bar(range(1, len(sizes) + 1), sizes, color=COLOURS["federated"])
    axis.set_xlabel(f"{len(sizes)} institutions, {sum(sizes)} phantoms, by size")
    axis.set_ylabel("phantoms")
    axis.margins(x=0.01)
    figure.tight_layout()
    _save(figure, file)


def draw_slices(models: Path, file: Path) -> None:
    """One phantom as two scanners show it, its regions, and what two models find."""
    seed, institution, number = SHOWN
    figure, axes = plt.subplots(2, 7, figsize=(9.2, 3.8))
    nets = {
        name: study.network(load_file(models / f"{name}.safetensors")) for name in ("federated", "alone-1")
    }
    for row, scanner in zip(axes, (institution, OTHER_SCANNER), strict=True):
        patient = study.patient(seed, institution, number, phantoms.scanner(seed, scanner))
        level = int(np.argmax(patient.regions[1].sum((0, 1)) + 0.1 * patient.regions[0].sum((0, 1))))
        shown = patient.image.float().numpy()
        shown = np.where((shown != 0).any(0), shown, -9)[..., level]  # black outside of the brain
        for axis, modality in zip(row, shown, strict=False):
            axis.imshow(_upright(modality), cmap="gray", vmin=-3, vmax=3)
        under = _upright(shown[3])
        with torch.no_grad():
            logits = [net(patient.image[None].float()) for net in nets.values()]
        found = [values[0] > 0 for values in logits]
        for axis, values in zip(row[5:], logits, strict=True):
            axis.set_xlabel(_dice_in_words(values, patient), fontsize=7)
        for axis, regions in zip(row[4:], (patient.regions, *found), strict=True):
            axis.imshow(under, cmap="gray", vmin=-3, vmax=4)
            parts = np.where(regions[2], 3, np.where(regions[1], 2, np.where(regions[0], 1, 0)))[..., level]
            axis.imshow(
                np.ma.masked_equal(_upright(parts), 0),
                cmap=ListedColormap(list(PARTS.values())),
                vmin=1,
                vmax=3,
                interpolation="nearest",
            )
        row[0].set_ylabel(f"scanner of\n{phantoms.name(scanner)}", fontsize=7.5)
    heads = ("T1", "T1 with contrast", "T2", "FLAIR", "regions", "federated", "no. 1 alone")
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=8.5)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_facecolor("black")
    figure.legend(
        handles=[Patch(color=colour, label=part) for part, colour in PARTS.items()],
        loc="lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    figure.tight_layout(rect=(0, 0.07, 1, 1), w_pad=0.3, h_pad=2.0)
    _save(figure, file)


def _dice_in_words(logits: torch.Tensor, patient: Patient) -> str:
    """Dice of the whole volume, by region."""
    there = patient.regions[None].float()
    found = [dice(logits, there, region) for region in range(len(REGIONS))]
    return "Dice " + " / ".join("–" if value is None else f"{value:.2f}" for value in found)


def _upright(values: Any) -> Any:
    """A slice as radiologists look at it: front up."""
    return np.asarray(values).T[::-1]


def _save(figure: Any, file: Path) -> None:
    # On white, so that text is readable on a dark page, too.
    metadata = {"Date": None} if file.suffix == ".svg" else {"Software": None}
    figure.savefig(file, facecolor="white", dpi=110, metadata=metadata)
    plt.close(figure)


def main() -> None:
    """Draw all three."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python figures.py MODELS, the folder of study.py --models MODELS")
    results = json.loads(study.RESULTS.read_text("utf-8"))
    draw_sizes(results["sizes"], IMAGES / "tumours-sizes.svg")
    draw_dice(results, IMAGES / "tumours-dice.svg")
    draw_slices(Path(sys.argv[1]), IMAGES / "tumours-slices.png")


if __name__ == "__main__":
    mpl.use("Agg")
    main()
