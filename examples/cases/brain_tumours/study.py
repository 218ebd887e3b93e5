"""Measures the federation of 71 against the largest institutions alone and all data pooled, on phantoms.

    python rates.py                      chooses the learning rates, before: results.json has them
    python study.py --seeds 1 2 3        trains, and adds each seed to results.json
    python tables.py                     writes the tables of the page
    python figures.py MODELS             draws its pictures, from the models of `study.py --models MODELS`

Alone and pooled keep the epoch that was best on their own patients held out; the federation gives the model
of its last round. Each learns at the rate chosen for it; that of the federation is the plan's.
"""

from __future__ import annotations

import argparse
import json
import time
from copy import deepcopy
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
EPOCHS = {"alone": 90, "pooled": 16}
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


def plan_at(rate: float) -> dict[str, Any]:
    """The keys of the plan for this learning rate; the bound of an update grows with it, as updates do."""
    keys = deepcopy({key: PLAN[key] for key in ("cohort", "aggregation", "tasks", "privacy", "cells")})
    train, bound = keys["tasks"]["train"], keys["privacy"]["secure_aggregation"]["model"]
    bound["clip"] *= rate / train["lr"]
    train["lr"] = rate
    return keys


def federated(data: Data, seed: int, rate: float, rounds: int) -> tuple[Parameters, dict[str, Any]]:
    """The model of the plan's federation after its last round.

    Returns:
        The model; and `curve`, the metrics of each round, `updates`, the number of updates in all sums, and
        `clipped`, how many of them had to be.
    """
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
            output=Path(folder, "run"),
            **plan_at(rate),
        )
        record = json.loads(Path(folder, "run", "metrics.json").read_text("utf-8"))
    history = {name: [float(value) for value in run.history[name]] for name in ("loss", *_DICE)}
    sums = _sums(record, "train")
    counts = {
        "updates": sum(each["sites"] for each in sums),
        "clipped": sum(each["clipped"] for each in sums),
    }
    return run.model, {**counts, "curve": history}


def _sums(record: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """The sums of a task, of all rounds and cells, in what a run writes to metrics.json."""
    return [
        opened
        for round_ in record["rounds"]
        for exchange in round_["exchanges"]
        if exchange["task"] == task
        for opened in exchange["sums"].values()
    ]


_DICE = tuple(f"dice_{region}" for region in REGIONS)


def central(
    train: list[Patient], held_out: list[Patient], seed: int, rate: float, epochs: int
) -> tuple[Parameters, dict[str, Any]]:
    """The model of the best epoch by the loss on `held_out`; and `curve`, that loss in each epoch."""
    learner = trainer(train, held_out, keep_optimizer=True)
    torch.manual_seed(seed)  # images are flipped at random; a federation's tasks are seeded by the simulation
    model: Parameters = {name: values.numpy() for name, values in first_model(seed).items()}
    best = model
    losses: list[float] = []
    settings = {"epochs": 1, "batch_size": BATCH, "lr": rate}
    for epoch in range(1, epochs + 1):
        task = Task("train", epoch, seed * 1_000 + epoch, settings)
        trained = learner.train(model, task).parameters
        assert trained is not None
        model = {name: np.array(values) for name, values in trained.items()}
        measured = learner.evaluate(model, Task("evaluate", epoch, 0, {"batch_size": 1}))
        losses.append(float(measured.metrics["loss"] or 0))
        if losses[-1] == min(losses):
            best = model
    return best, {"curve": losses}


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


@dataclass(frozen=True, slots=True)
class Length:
    """How long each trains: rounds of the federation, epochs of the others by kind."""

    rounds: int
    epochs: dict[str, int]


def contenders(data: Data, seed: int, rates: dict[str, float], length: Length) -> dict[str, Any]:
    """By name, what trains each; `rates` are by the first word of the name."""
    order = data.by_size()
    alone = {
        f"alone {rank}": partial(
            central,
            data.train[order[rank - 1]],
            data.held_out[order[rank - 1]],
            seed,
            rates["alone"],
            length.epochs["alone"],
        )
        for rank in ALONE
        if rank <= len(order)
    }
    everyone, validating = list(chain(*data.train)), list(chain(*data.held_out))
    return {
        "federated": partial(federated, data, seed, rates["federated"], length.rounds),
        **alone,
        "pooled": partial(central, everyone, validating, seed, rates["pooled"], length.epochs["pooled"]),
    }


def chosen_rates(results: dict[str, Any]) -> dict[str, float]:
    """The learning rates that `rates.py` chose, by contender.

    Raises:
        SystemExit: None are chosen, or the plan has another one for the federation.
    """
    if "rates" not in results:
        raise SystemExit("results.json has no learning rates: run `python rates.py` first.")
    rates: dict[str, float] = results["rates"]["chosen"]
    if rates["federated"] != (planned := PLAN["tasks"]["train"]["lr"]):
        raise SystemExit(
            f"plan.yaml has lr {planned}, and rates.py chose {rates['federated']}: set `lr` in the plan to "
            "that, and multiply `clip` alike."
        )
    return rates


def extended(results: dict[str, Any], asked: dict[str, Any], file: Path) -> dict[str, Any]:
    """Results to which those of this study can be added.

    Raises:
        SystemExit: They are of a study of other sizes or lengths.
    """
    others = [key for key, value in asked.items() if results.get("seeds") and results.get(key) != value]
    if others:
        raise SystemExit(
            f"{file} has results of another study ({', '.join(others)}): name another --results."
        )
    return results | asked


def main() -> None:
    """Train for some seeds, and add them to results.json."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", required=True)
    options.add_argument("--rounds", type=int, default=PLAN["rounds"])
    options.add_argument("--institutions", type=int, default=phantoms.INSTITUTIONS)
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument(
        "--only", nargs="+", help="some of the contenders: federated, 'alone 1', pooled, ..."
    )
    options.add_argument("--models", type=Path, help="a folder for the models of the last seed")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    results = json.loads(chosen.results.read_text("utf-8")) if chosen.results.is_file() else {}
    sizes = sorted(phantoms.sizes(chosen.institutions), reverse=True)
    asked = {"sizes": sizes, "rounds": chosen.rounds, "epochs": EPOCHS, "batch": BATCH}
    results = extended(results, asked, chosen.results)
    rates, length = chosen_rates(results), Length(chosen.rounds, EPOCHS)
    for seed in chosen.seeds:
        data = data_of(seed, chosen.institutions)
        results["tests"] = {test: len(patients) for test, patients in data.tests.items()}
        done = results.setdefault("seeds", {}).setdefault(str(seed), {})
        for name, train in contenders(data, seed, rates, length).items():
            if chosen.only and name not in chosen.only:
                continue
            if name in done and not chosen.models:  # go on where an earlier study ended
                continue
            began = time.process_time()
            model, more = train()
            found = {"dice": measured(model, data.tests), "cpu_s": round(time.process_time() - began)}
            done[name] = {**found, **more}
            print(seed, name, json.dumps(found), flush=True)
            chosen.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            if chosen.models:
                chosen.models.mkdir(parents=True, exist_ok=True)
                tensors: dict[str, Tensor] = {key: torch.tensor(np.array(v)) for key, v in model.items()}
                save_file(tensors, chosen.models / f"{name.replace(' ', '-')}.safetensors")
    chosen.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
