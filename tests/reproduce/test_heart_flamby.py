"""FLamby's heart disease benchmark: its published accuracies, by the demo's learner and Hanse's aggregation.

Ogier du Terrail et al. (2022), "FLamby: Datasets and Benchmarks for Cross-Silo Federated Learning in
Realistic Healthcare Settings", NeurIPS Datasets and Benchmarks, https://arxiv.org/abs/2210.04620. The figures
are the means over the five seeds of its result files.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.deltas import difference

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedavg import fed_avg
from hanse.aggregation.fedopt import FedAdagrad, FedAdam, FedSgd, FedYogi
from hanse.core.values.parameters import Parameters
from hanse.core.values.seeds import derive
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, Update
from hanse.demo.files import HEART_DISEASE, HOSPITALS, write_plan
from hanse.learners.base import Learner
from hanse.learners.bundle import load_factory

pytestmark = [pytest.mark.slow, pytest.mark.torch]
torch = pytest.importorskip("torch")

SEEDS = (42, 43, 44, 45, 46)
ROUNDS = 15
BATCHES = {"batches": 100, "batch_size": 4}


@pytest.fixture(scope="module")
def learners(tmp_path_factory: pytest.TempPathFactory) -> list[Learner]:
    plan = write_plan(tmp_path_factory.mktemp("plan"), "numpy")
    make_learner = load_factory(plan.parent, "heart_numpy:learner")
    return [
        make_learner(Site(name, DataSources(name, {"heart": HEART_DISEASE / file})))
        for name, file in HOSPITALS.items()
    ]


def first_model(seed: int) -> Parameters:
    """The benchmark's own first model: its learning rates are so low that the result still depends on it."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(13, 1)
    return {"weight": layer.weight.detach().numpy()[0], "bias": layer.bias.detach().numpy().reshape(())}


def federated(learners: Sequence[Learner], lr: float, server: ServerOptimizer, seed: int) -> Parameters:
    model, state = first_model(seed), {}
    for number in range(1, ROUNDS + 1):
        updates = []
        for place, learner in enumerate(learners):
            task = Task("train", number, derive(seed, place, number), {**BATCHES, "lr": lr})
            result = learner.train(model, task)
            delta = difference(result.parameters, model)
            updates.append(Update(str(place), result.num_examples, result.metrics, delta))
        model, state = server.step(model, fed_avg(updates).delta, state)
    return model


@pytest.mark.parametrize(
    ("lr", "server", "published"),
    [
        pytest.param(0.001, FedSgd(), (0.731, 0.719, 0.650, 0.640), id="FedAvg"),
        pytest.param(0.003162, FedAdagrad(0.316228), (0.760, 0.753, 0.738, 0.676), id="FedAdagrad"),
        pytest.param(0.01, FedAdam(0.01), (0.752, 0.746, 0.738, 0.667), id="FedAdam"),
        pytest.param(0.003162, FedYogi(0.01), (0.760, 0.753, 0.738, 0.676), id="FedYogi"),
    ],
)
def test_every_hospital_has_the_published_accuracy(
    learners: list[Learner], lr: float, server: ServerOptimizer, published: tuple[float, ...]
) -> None:
    accuracies = []
    for seed in SEEDS:
        model = federated(learners, lr, server, seed)
        task = Task("evaluate", ROUNDS, seed)
        accuracies.append([learner.evaluate(model, task).metrics["accuracy"] for learner in learners])

    assert np.mean(accuracies, axis=0) == pytest.approx(published, abs=0.02)
