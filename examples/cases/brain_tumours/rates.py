"""Chooses the learning rates of the study on phantoms of a seed of their own: `python rates.py`.

The federation, the largest institution alone and all data pooled each train at every rate, a third as long
as in the study. What counts is the loss on phantoms held out: for the federation and for all pooled, on
those of all institutions; for the largest alone, on its own. No test is seen.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import phantoms
import study
import torch
from brats import Patient
from learner import trainer

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task

SEED = 0
"""None of the seeds of the study."""
RATES = (0.003, 0.01, 0.03)
LENGTH = study.Length(rounds=10, epochs={"alone": 10, "pooled": 3})
NAMES = {"alone 1": "alone", "pooled": "pooled", "federated": "federated"}
"""Who chooses, and for whom: the rate of the largest institution is that of all three alone."""


def loss(model: Parameters, patients: list[Patient]) -> float:
    """Mean loss over patients, each of whom is a batch."""
    result = trainer(patients, patients).evaluate(model, Task("evaluate", 1, 0, {"batch_size": 1}))
    return float(result.metrics["loss"] or 0)


def chosen(losses: dict[str, dict[str, float]]) -> dict[str, float]:
    """The rate of the lowest loss, by contender."""
    return {name: float(min(found, key=lambda rate: found[rate])) for name, found in losses.items()}


def main() -> None:
    """Choose, and write the losses and the rates to results.json."""
    torch.set_num_threads(1)
    data = study.data_of(SEED, phantoms.INSTITUTIONS)
    everyone, largest = list(chain(*data.held_out)), data.held_out[data.by_size()[0]]
    losses: dict[str, dict[str, float]] = {}
    for name, kind in NAMES.items():
        held_out = largest if kind == "alone" else everyone
        found = losses.setdefault(kind, {})
        for rate in RATES:
            train = study.contenders(data, SEED, dict.fromkeys(NAMES.values(), rate), LENGTH)[name]
            found[str(rate)] = round(loss(train()[0], held_out), 4)
            print(kind, rate, found[str(rate)], flush=True)
    results: dict[str, Any] = json.loads(study.RESULTS.read_text("utf-8")) if study.RESULTS.is_file() else {}
    results["rates"] = {
        "seed": SEED,
        "rounds": LENGTH.rounds,
        "epochs": LENGTH.epochs,
        "losses": losses,
        "chosen": chosen(losses),
    }
    study.RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
