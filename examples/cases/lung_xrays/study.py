"""Compares the federated model with what each clinic reaches alone, and with all X-rays in one place.

    python study.py study.json --keep kept

deals the X-rays and trains five times, each time with another seed, all in simulation: by the plan as it is,
masked arithmetic included; at each clinic alone; on all X-rays pooled; and with what might help the clinic
that gains least. Every model passes as often over the images that it is trained on. It needs all clinics'
X-rays in one place, which no party of a deployed federation has.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import clinics
import numpy as np
import torch
import yaml
from learner import XrayLearner, network, probabilities
from measures import auc, calibration_error, interval_of_gain
from safetensors.torch import save_file
from start import first_model
from torch.utils.data import TensorDataset
from xrays import read

import hanse

HERE = Path(__file__).parent
SEEDS = (1, 2, 3, 4, 5)
CLINICS = tuple(clinics.CLINICS)
ALL = "all"
"""Where a figure is of the images of all clinics together."""
FINE_TUNED_EPOCHS = 2
SMALL, TIMES = "island", 8
"""The clinic with so few images that as many passes are few steps; it also trains alone with more passes."""
LONGER = f"{SMALL} alone, longer"

Scores = dict[str, np.ndarray]
"""Scores of a clinic's held-out images, by clinic."""

cached = cache(read)


class Study:
    """The runs of one seed.

    Args:
        folder: An empty folder for the clinics' X-rays and the first model.
        seed: Of dealing, first model and training.
        plan: Keys in place of those of the plan file.
        held_out: The part that models are measured on.
    """

    def __init__(self, folder: Path, seed: int, plan: Mapping[str, Any], held_out: str) -> None:
        clinics.write(folder, seed)
        self._folder, self._held_out = folder, held_out
        keys = yaml.safe_load((HERE / "plan.yaml").read_text("utf-8")) | dict(plan)
        keys["options"] = keys["options"] | {"held_out": held_out}
        start = folder / "start.safetensors"
        first = first_model(seed)
        save_file(first, start)
        # What stays at a clinic begins as its own code makes it, and is not in the file.
        shared = {name: tensor for name, tensor in first.items() if not name.startswith("norm")}
        self._start_of_fedbn = folder / "fedbn.safetensors"
        save_file(shared, self._start_of_fedbn)
        self.plan = {k: v for k, v in keys.items() if k not in ("code", "learner", "requires")}
        self.plan |= {"seed": seed, "initial_model": str(start)}

    def federated(self) -> tuple[Any, dict[str, Scores]]:
        """The plan as it is, and after its last round two passes at each clinic that stay there.

        Returns:
            The run, and the scores of the models `federated` and `fine_tuned`.
        """
        learners: dict[str, XrayLearner] = {}
        tasks = self.plan["tasks"]
        tune = tasks["train"] | {"epochs": FINE_TUNED_EPOCHS, "discloses": {"metrics": ["loss"]}}
        run = self._simulate(
            learners,
            CLINICS,
            **self._without("tasks")
            | {"algorithm": {"name": "fine_tuning"}, "tasks": tasks | {"finetune": tune}},
        )
        own = {name: one.local_state()["finetuned"] for name, one in learners.items()}
        return run, {
            "federated": self.scores(dict.fromkeys(CLINICS, run.model)),
            "fine_tuned": self.scores(own),
        }

    def fedbn(self) -> Scores:
        """The plan with batch normalisation that stays at each clinic."""
        learners: dict[str, XrayLearner] = {}
        changes = {"algorithm": {"name": "fedbn", "tensors": ["norm*"]}}
        changes |= {"initial_model": str(self._start_of_fedbn)}
        self._simulate(learners, CLINICS, **self.plan | changes)
        return self.scores({name: one.parameters() for name, one in learners.items()})

    def by_itself(self, name: str, times: int = 1) -> Scores:
        """The same training with nobody else: of one clinic, or of all images pooled (`all`).

        Args:
            name: Of the clinic, or `all`.
            times: So many times the passes of the plan.
        """
        train = self.plan["tasks"]["train"]
        train = train | {
            "epochs": times * train["epochs"],
            "discloses": {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]},
        }
        plan = self._without("cells", "privacy", "groups", "cohort")
        run = self._simulate({}, [name], **plan | {"tasks": {"train": train}})
        return self.scores(dict.fromkeys(CLINICS, run.model))

    def scores(self, models: Mapping[str, Mapping[str, np.ndarray]]) -> Scores:
        """Scores of each clinic's held-out images by the model that it has."""
        found, model = {}, network()
        for name, arrays in models.items():
            model.load_state_dict({key: torch.tensor(arrays[key]) for key in model.state_dict()})
            found[name] = probabilities(model, self.images(name, self._held_out).tensors[0]).numpy().ravel()
        return found

    def images(self, name: str, part: str) -> TensorDataset:
        """The X-rays of a clinic, or of all of them, one clinic after another."""
        if name != ALL:
            return cached(self._folder / name / "xrays", part)
        each = [self.images(clinic, part).tensors for clinic in CLINICS]
        return TensorDataset(*(torch.cat(tensors) for tensors in zip(*each, strict=True)))

    def _without(self, *keys: str) -> dict[str, Any]:
        return {key: value for key, value in self.plan.items() if key not in keys}

    def _simulate(self, learners: dict[str, XrayLearner], names: Iterable[str], **plan: Any) -> Any:
        def learner(site: hanse.Site) -> XrayLearner:
            train, held_out = (self.images(site.name, part) for part in ("train", self._held_out))
            learners[site.name] = XrayLearner(train, held_out, site.options)
            return learners[site.name]

        return hanse.simulate(
            learner, {name: {"xrays": str(self._folder)} for name in names}, progress=False, **plan
        )


def figures(scores: Scores, sick: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """AUC and calibration error by clinic, and over the images of all together."""
    measured = {name: (scores[name], sick[name]) for name in CLINICS}
    measured[ALL] = tuple(np.concatenate([each[name] for name in CLINICS]) for each in (scores, sick))
    return {
        name: {"auc": round(auc(*pair), 4), "calibration_error": round(calibration_error(*pair), 4)}
        for name, pair in measured.items()
    }


def of_seed(study: Study, seed: int, keep: Path | None, held_out: str) -> dict[str, Any]:
    """All models of one seed, measured."""
    run, models = study.federated()
    models["fedbn"] = study.fedbn()
    for name in (*CLINICS, ALL):
        models["pooled" if name == ALL else f"{name} alone"] = study.by_itself(name)
    models[LONGER] = study.by_itself(SMALL, TIMES)
    sick = {name: study.images(name, held_out).tensors[1].numpy().ravel() for name in CLINICS}
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        kept = {
            f"{model}/{name}": array for model, scores in models.items() for name, array in scores.items()
        }
        np.savez(keep / f"scores-{seed}.npz", **kept, **{f"sick/{name}": sick[name] for name in CLINICS})
        save_file(
            {key: torch.tensor(array) for key, array in run.model.items()}, keep / f"model-{seed}.safetensors"
        )
    rounds = [row["metrics"] for row in run.summary()["rounds"]]
    digits = {key: [round(row[key], 4) for row in rounds] for key in ("loss", "accuracy")}
    digits |= {
        name: [round(row[f"scores.{name}"], 4) for row in rounds] for name in ("auc", "calibration_error")
    }
    digits |= {"auc_bound": [round(row["scores.auc_bound"], 4) for row in rounds]}
    intervals = {
        name: [
            round(end, 4)
            for end in interval_of_gain(models["federated"][name], models[f"{name} alone"][name], sick[name])
        ]
        for name in CLINICS
    }
    return {
        "seed": seed,
        "rounds": digits,
        "models": {name: figures(scores, sick) for name, scores in models.items()},
        "intervals_of_gain": intervals,
    }


def summary(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds, and which clinic gains least."""

    def spread(values: list[float]) -> dict[str, float]:
        sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
        return {"mean": round(float(np.mean(values)), 3), "sd": round(float(sd), 3)}

    first = seeds[0]["models"]
    table = {
        model: {
            place: {
                measure: spread([seed["models"][model][place][measure] for seed in seeds])
                for measure in first[model][place]
            }
            for place in first[model]
        }
        for model in first
    }
    gains = {
        name: spread(
            [
                seed["models"]["federated"][name]["auc"] - seed["models"][f"{name} alone"][name]["auc"]
                for seed in seeds
            ]
        )
        for name in CLINICS
    }
    return {"models": table, "gains": gains, "gains_least": min(gains, key=lambda name: gains[name]["mean"])}


def main() -> None:
    """Run the study and write its figures."""
    parser = argparse.ArgumentParser(description="Compare the federated model with others.")
    parser.add_argument("results", type=Path, help="the file to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--rounds", type=int, help="in place of the plan's")
    parser.add_argument("--held-out", default="test", choices=["validate", "test"])
    parser.add_argument("--keep", type=Path, help="a folder for scores and models, for figures.py")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = {} if arguments.rounds is None else {"rounds": arguments.rounds}
    seeds = []
    for seed in arguments.seeds:
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            study = Study(Path(folder), seed, plan, arguments.held_out)
            seeds.append(of_seed(study, seed, arguments.keep, arguments.held_out))
        told = {name: model[ALL]["auc"] for name, model in seeds[-1]["models"].items()}
        print(f"seed {seed}: {time.process_time() - began:.0f} s of a core, AUC of all: {told}", flush=True)
        result = {
            "held_out": arguments.held_out,
            "passes": study.plan["rounds"] * study.plan["tasks"]["train"]["epochs"],
            "fine_tuned_passes": FINE_TUNED_EPOCHS,
            "longer_times": TIMES,
            **summary(seeds),
            "seeds": seeds,
        }
        arguments.results.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
