"""Draws the pictures of the page, from what `study.py study.json --keep kept` wrote.

    python figures.py study.json kept ../../../docs/cases

Scores of single images are of seed 1; curves are of all seeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clinics
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measures import auc, reliability, roc

CLINICS = tuple(clinics.CLINICS)
COLOURS = {
    "federated": "#1f5fbf",
    "pooled": "#111111",
    "city alone": "#b0452f",
    "valley alone": "#c98a12",
    "island alone": "#3f8f5b",
    "fedbn": "#8250a8",
    "fine_tuned": "#1b9aaa",
}
NAMES = {"pooled": "all pooled", "fedbn": "FedBN", "fine_tuned": "fine-tuned"}
Scores = Mapping[str, np.ndarray]
"""Scores by `MODEL/CLINIC`, and diagnoses by `sick/CLINIC`."""


def main() -> None:
    """Draw all pictures."""
    results = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    with np.load(Path(sys.argv[2]) / "scores-1.npz") as file:
        scores = {name: file[name] for name in file}
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    images = {name: held_out(name, results["held_out"]) for name in CLINICS}
    drawn = {
        "clinics": of_clinics(images, scores),
        "rounds": over_rounds(results["seeds"]),
        "roc": curves_of_scores(scores, results["gains_least"]),
        "told": told(images, scores),
    }
    for name, figure in drawn.items():
        file = Path(sys.argv[3]) / f"lung-x-rays-{name}.png"
        figure.savefig(file, dpi=120, facecolor="white", metadata={"Software": None})
        print(f"{file}: {file.stat().st_size // 1000} kB")


def held_out(name: str, part: str) -> np.ndarray:
    """A clinic's images of seed 1, in the order in which its learner reads them."""
    return np.concatenate(
        [found for clinic, of, _, found in clinics.dealt(1) if (clinic, of) == (name, part)]
    )


def of_clinics(images: Mapping[str, np.ndarray], scores: Scores) -> Figure:
    """The first four images of each diagnosis, a row for each clinic."""
    figure, rows = plt.subplots(3, 9, figsize=(7.6, 2.9), width_ratios=[1] * 4 + [0.2] + [1] * 4)
    for name, row in zip(CLINICS, rows, strict=True):
        sick = scores[f"sick/{name}"]
        chosen = [*np.flatnonzero(sick == 0)[:4], None, *np.flatnonzero(sick == 1)[:4]]
        for axes, number in zip(row, chosen, strict=True):
            axes.axis("off")
            if number is not None:
                show(axes, images[name][number])
        row[0].text(-0.15, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
    for column, diagnosis in ((0, "normal"), (5, "pneumonia")):
        rows[0][column].set_title(diagnosis, loc="left", fontsize=9)
    figure.subplots_adjust(0.08, 0.01, 0.995, 0.92, wspace=0.06, hspace=0.06)
    return figure


def over_rounds(seeds: list[dict[str, Any]]) -> Figure:
    """AUC and calibration error of all clinics' images by round, as the masked sums give them."""
    figure, both = plt.subplots(1, 2, figsize=(7.6, 2.9), layout="constrained")
    measures = {"auc": "AUC", "calibration_error": "calibration error"}
    for axes, (measure, label) in zip(both, measures.items(), strict=True):
        lines = np.array([seed["rounds"][measure] for seed in seeds])
        rounds = np.arange(1, lines.shape[1] + 1)
        axes.plot(rounds, lines.T, color=COLOURS["federated"], alpha=0.35, linewidth=1)
        axes.plot(rounds, lines.mean(0), color=COLOURS["federated"], linewidth=2.2)
        axes.set(xlabel="round", title=f"{label}, test images of all clinics")
        axes.grid(alpha=0.25)
    return figure


def curves_of_scores(scores: Scores, least: str) -> Figure:
    """ROC of all images, ROC at the clinic that gains least, and reliability of all images."""
    figure, (everywhere, there, reliable) = plt.subplots(1, 3, figsize=(9.6, 3.4), layout="constrained")
    draw_roc(everywhere, scores, CLINICS, ["federated", "pooled", *(f"{name} alone" for name in CLINICS)])
    everywhere.set_title("ROC, all clinics")
    draw_roc(there, scores, [least], ["federated", "pooled", f"{least} alone", "fedbn", "fine_tuned"])
    there.set_title(f"ROC, {least}")
    reliable.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    for model in ("federated", "pooled"):
        rows = reliability(*joined(scores, model, CLINICS))
        places = [row["score"] for row in rows], [row["pneumonia"] for row in rows]
        reliable.plot(*places, color=COLOURS[model], linewidth=1.2, label=NAMES.get(model, model))
        reliable.scatter(*places, s=[0.7 * row["images"] for row in rows], color=COLOURS[model], alpha=0.6)
    reliable.set(xlabel="score of the model", ylabel="share with pneumonia", title="Reliability, all clinics")
    reliable.legend(loc="upper left", frameon=False, fontsize=8)
    return figure


def draw_roc(axes: Axes, scores: Scores, places: list[str] | tuple[str, ...], models: list[str]) -> None:
    """A curve for each model, over the images of some clinics together."""
    for model in models:
        pair = joined(scores, model, places)
        label = f"{NAMES.get(model, model)}, {auc(*pair):.3f}"
        axes.plot(
            *roc(*pair), color=COLOURS[model], linewidth=2 if model == "federated" else 1.2, label=label
        )
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right", frameon=False, fontsize=7.5)


def told(images: Mapping[str, np.ndarray], scores: Scores) -> Figure:
    """Images that the federated model classifies correctly and wrongly, with scores, drawn by chance."""
    random = np.random.default_rng(0)
    figure, rows = plt.subplots(4, 9, figsize=(7.6, 3.5))
    kinds = {(True, 0): "normal,\ncorrect", (True, 1): "pneumonia,\ncorrect"}
    kinds |= {(False, 0): "normal,\nwrong", (False, 1): "pneumonia,\nwrong"}
    score, sick = joined(scores, "federated", CLINICS)
    pixels = np.concatenate([images[name] for name in CLINICS])
    for row, ((right, label), words) in zip(rows, kinds.items(), strict=True):
        correct = (score > 0.5) == (sick == 1)
        fitting = np.flatnonzero((correct == right) & (sick == label))
        chosen = random.permutation(fitting)[: len(row)]
        for axes in row:
            axes.axis("off")
        for axes, number in zip(row, chosen, strict=False):
            show(axes, pixels[number])
            axes.text(
                0.04,
                0.04,
                f"{score[number]:.2f}",
                transform=axes.transAxes,
                color="white",
                fontsize=8,
                bbox={"facecolor": "black", "alpha": 0.65, "pad": 1.2, "linewidth": 0},
            )
        row[0].text(-0.12, 0.5, words, transform=row[0].transAxes, ha="right", va="center", fontsize=8.5)
    figure.subplots_adjust(0.125, 0.01, 0.995, 0.99, wspace=0.05, hspace=0.05)
    return figure


def joined(scores: Scores, model: str, places: list[str] | tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a model and diagnoses, over the images of some clinics together."""
    both = (np.concatenate([scores[f"{kind}/{name}"] for name in places]) for kind in (model, "sick"))
    found, sick = both
    return found, sick


def show(axes: Axes, pixels: np.ndarray) -> None:
    """An X-ray, black and white as the file has them."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


if __name__ == "__main__":
    main()
