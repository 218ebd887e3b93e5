"""Prints the tables of the page from what `study.py` wrote: `python tables.py results.json`."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

PLACES = ("all", "city", "valley", "island")
NAMES = {
    "federated": "**federated, masked sums**",
    "pooled": "all pooled",
    "fedbn": "FedBN",
    "fine_tuned": "federated, then fine-tuned at each clinic",
}
MODELS = ("federated", "city alone", "valley alone", "island alone", "island alone, longer", "pooled")
HELPS = ("island alone", "federated", "fedbn", "fine_tuned")


def table(results: dict[str, Any], measure: str, models: tuple[str, ...]) -> str:
    """Mean and standard deviation over the seeds of a measure, by model and place."""
    heads = ["model", *PLACES[:1], *(["mean of clinics"] if measure == "auc" else []), *PLACES[1:]]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for model in models:
        cells = [spread(results["models"][model][place][measure]) for place in PLACES]
        if measure == "auc":
            cells.insert(1, within_clinics(results, model))
        lines.append(f"| {NAMES.get(model, model)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def within_clinics(results: dict[str, Any], model: str) -> str:
    """Mean AUC of the clinics, each on its own images, so that only the order within a clinic counts."""
    means = [statistics.mean(s["models"][model][at]["auc"] for at in PLACES[1:]) for s in results["seeds"]]
    return spread({"mean": statistics.mean(means), "sd": statistics.stdev(means)})


def gains(results: dict[str, Any]) -> str:
    """By how much AUC each clinic gains over training alone, on its own images."""
    heads = ["clinic", "gain in AUC", "seeds, of five, in which it gains", "95 % interval above 0, below 0"]
    lines = [f"| {' | '.join(heads)} |", "| --- | --- | --- | --- |"]
    for name, gain in results["gains"].items():
        up = sum(
            seed["models"]["federated"][name]["auc"] > seed["models"][f"{name} alone"][name]["auc"]
            for seed in results["seeds"]
        )
        ends = [seed["intervals_of_gain"][name] for seed in results["seeds"]]
        above, below = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
        lines.append(f"| {name} | {gain['mean'] or 0.0:+.3f} ({gain['sd']:.3f}) | {up} | {above}, {below} |")
    return "\n".join(lines)


def spread(value: dict[str, float]) -> str:
    """A mean, and in brackets the standard deviation."""
    return f"{value['mean']:.3f} ({value['sd']:.3f})"


def tables(results: dict[str, Any]) -> dict[str, str]:
    """All tables of the page, by what they show."""
    models = tuple(dict.fromkeys((*MODELS, *HELPS)))
    return {
        "AUC": table(results, "auc", MODELS),
        "gains": gains(results),
        "calibration error": table(results, "calibration_error", MODELS),
        "AUC, what helps": table(results, "auc", tuple(m for m in models if m in HELPS)),
        "calibration error, what helps": table(
            results, "calibration_error", tuple(m for m in models if m in HELPS)
        ),
    }


if __name__ == "__main__":
    for name, text in tables(json.loads(Path(sys.argv[1]).read_text("utf-8"))).items():
        print(f"{name}\n\n{text}\n")
