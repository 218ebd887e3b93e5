"""Measures the federation of 71 against the largest institutions alone and all data pooled, on phantoms.

    python study.py --seeds 1 2 3        trains, and adds each seed to results.json
    python tables.py                     writes the tables of the page
    python figures.py MODELS             draws its pictures, from the models of `study.py --models MODELS`

Alone and pooled keep the epoch that was best on their own patients held out; the federation gives the model
of its last round. All learn at the rate of the plan.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import brats
import numpy as np
import phantoms
import torch
import yaml
from brats import REGIONS, Patient
from learner import trainer
from safetensors.torch import save_file
from torch import Tensor
from unet import UNet, dice, first_model

import hanse
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task

HERE = Path(__file__).parent
PLAN = yaml.safe_load((HERE / "plan.yaml").read_text("utf-8"))
RESULTS = HERE / "results.json"
ALONE = (1, 2, 3)
"""Ranks by size of the institutions that train alone."""
EPOCHS = {"alone": 30, "pooled": 8}
BATCH = 4
UNSEEN, UNSEEN_EACH = 12, 5
"""Institutions that nobody trains with, and phantoms of each."""
_TEST_FROM, _UNSEEN_FROM = 1_001, 501
"""Numbers of the phantoms, and of the institutions, that are for tests alone."""


@dataclass(frozen=True, slots=True)
class Data:
    """Phantoms of one seed.

    Attributes:
        train: By institution.
        held_out: For validation, by institution.
        tests: By name: of all institutions (a fifth of the size of each, rounded up), and of those unseen.
    """

    train: list[list[Patient]]
    held_out: list[list[Patient]]
    tests: dict[str, list[Patient]]

    def by_size(self) -> list[int]:
        """Indices of the institutions, largest first."""
        return sorted(range(len(self.train)), key=lambda index: -len(self.train[index]))


def patient(seed: int, institution: int, number: int, seen: phantoms.Scanner | None = None) -> Patient:
    """A phantom as the loader gives it when it is read from its files."""
    image, labels = phantoms.phantom(seed, institution, number, seen)
    # In the files, x runs from right to left and y from front to back.
    image, labels = image[:, ::-1, ::-1], labels[::-1, ::-1]
    regions = brats.regions_of(labels, brats.NAMINGS[0], "a phantom")
    name = f"Phantom-{institution:02d}-{number:03d}"
    shown = brats.prepared(np.ascontiguousarray(image), [name] * 4)
    return brats.fitted(name, shown, regions, tuple(PLAN["options"]["grid"]))


def data_of(seed: int, institutions: int) -> Data:
    """All phantoms of a seed."""
    train, held_out, test = [], [], []
    for number, size in enumerate(phantoms.sizes(institutions), start=1):
        mine = brats.split([patient(seed, number, k) for k in range(1, size + 1)], HERE)
        train.append(mine[0])
        held_out.append(mine[1])
        test += [patient(seed, number, _TEST_FROM + k) for k in range(-(-size // 5))]
    unseen = [patient(seed, _UNSEEN_FROM + number, k) for number in range(UNSEEN) for k in range(UNSEEN_EACH)]
    return Data(train, held_out, {"all": test, "unseen": unseen})


def federated(data: Data, seed: int, rounds: int) -> tuple[Parameters, dict[str, list[float]]]:
    """The model of the plan's federation after its last round, and the metrics of each round."""
    keys = {key: PLAN[key] for key in ("cohort", "aggregation", "tasks", "privacy", "cells")}
    names = [phantoms.name(number) for number in range(1, len(data.train) + 1)]
    pairs = zip(data.train, data.held_out, strict=True)
    sites = {name: {"scans": pair} for name, pair in zip(names, pairs, strict=True)}
    with TemporaryDirectory() as folder:
        first = Path(folder, "start.safetensors")
        save_file(first_model(seed), first)
        run = hanse.simulate(
            lambda site: trainer(*site.data["scans"]),
            sites,
            data=["scans"],
            rounds=rounds,
            seed=seed,
            initial_model=str(first),
            progress=False,
            **keys,
        )
    history = {name: [float(value) for value in run.history[name]] for name in ("loss", *_DICE)}
    return run.model, history


_DICE = tuple(f"dice_{region}" for region in REGIONS)


def central(train: list[Patient], held_out: list[Patient], seed: int, epochs: int) -> Any:
    """The model of the best epoch by the loss on `held_out`, and that loss in each epoch."""
    learner = trainer(train, held_out, keep_optimizer=True)
    model: Parameters = {name: values.numpy() for name, values in first_model(seed).items()}
    best, losses = model, []
    settings = {"epochs": 1, "batch_size": BATCH, "lr": PLAN["tasks"]["train"]["lr"]}
    for epoch in range(1, epochs + 1):
        task = Task("train", epoch, seed * 1_000 + epoch, settings)
        trained = learner.train(model, task).parameters
        assert trained is not None
        model = {name: np.array(values) for name, values in trained.items()}
        measured = learner.evaluate(model, Task("evaluate", epoch, 0, {"batch_size": 1}))
        losses.append(float(measured.metrics["loss"] or 0))
        if losses[-1] == min(losses):
            best = model
    return best, losses


def network(model: Parameters) -> UNet:
    """The network with these parameters."""
    net = UNet()
    net.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in model.items()})
    return net.eval()


@torch.no_grad()
def measured(model: Parameters, tests: dict[str, list[Patient]]) -> dict[str, dict[str, float]]:
    """Mean Dice over the patients who have the region, by test and region."""
    net, result = network(model), {}
    for test, patients in tests.items():
        each: list[list[float | None]] = []
        for one in patients:
            logits, there = net(one.image[None].float()), one.regions[None].float()
            each.append([dice(logits, there, region) for region in range(len(REGIONS))])
        given = [[value for value in column if value is not None] for column in zip(*each, strict=True)]
        result[test] = {
            region: round(float(np.mean(column)), 4) for region, column in zip(REGIONS, given, strict=True)
        }
    return result


def contenders(data: Data, seed: int, rounds: int) -> dict[str, Any]:
    """By name, what trains each."""
    order = data.by_size()
    alone = {
        f"alone {rank}": partial(
            central, data.train[order[rank - 1]], data.held_out[order[rank - 1]], seed, EPOCHS["alone"]
        )
        for rank in ALONE
        if rank <= len(order)
    }
    everyone, validating = list(chain(*data.train)), list(chain(*data.held_out))
    return {
        "federated": partial(federated, data, seed, rounds),
        **alone,
        "pooled": partial(central, everyone, validating, seed, EPOCHS["pooled"]),
    }


def main() -> None:
    """Train for some seeds, and add them to results.json."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", required=True)
    options.add_argument("--rounds", type=int, default=PLAN["rounds"])
    options.add_argument("--institutions", type=int, default=phantoms.INSTITUTIONS)
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--models", type=Path, help="a folder for the models of the last seed")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    results = json.loads(chosen.results.read_text("utf-8")) if chosen.results.is_file() else {}
    results["sizes"] = sorted(phantoms.sizes(chosen.institutions), reverse=True)
    results["rounds"], results["epochs"] = chosen.rounds, EPOCHS
    for seed in chosen.seeds:
        data = data_of(seed, chosen.institutions)
        results["tests"] = {test: len(patients) for test, patients in data.tests.items()}
        done = results.setdefault("seeds", {}).setdefault(str(seed), {})
        for name, train in contenders(data, seed, chosen.rounds).items():
            if name in done and not chosen.models:  # go on where an earlier study ended
                continue
            began = time.process_time()
            model, curve = train()
            found = {"dice": measured(model, data.tests), "cpu_s": round(time.process_time() - began)}
            done[name] = {**found, "curve": curve}
            print(seed, name, json.dumps(found), flush=True)
            chosen.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            if chosen.models:
                chosen.models.mkdir(parents=True, exist_ok=True)
                tensors: dict[str, Tensor] = {key: torch.tensor(np.array(v)) for key, v in model.items()}
                save_file(tensors, chosen.models / f"{name.replace(' ', '-')}.safetensors")
    chosen.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
