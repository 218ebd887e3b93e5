"""A model with a constant mask of infinities is federated, whatever the plan does with its updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.simulation.test_host import AGGREGATE, INDIVIDUAL, Adder, Simulation

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import QuorumError
from hanse.workflow.federation import Federation

SHAPE = (40, 40)
MASK = np.triu(np.full(SHAPE, -np.inf, np.float32), 1)


class Attention(Adder):
    """Trains a weight beside a causal mask, and a bias that shares its tensor with infinities."""

    def initial_parameters(self) -> Parameters:
        return {"w": np.zeros(SHAPE, np.float32), "mask": MASK, "bias": MASK.copy()}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        step = np.float32(self.step)
        trained = {name: parameters[name] + step for name in ("w", "bias")}
        return TaskResult(self.examples, {"loss": 1.0}, {**trained, "mask": parameters["mask"]})


class Unmasking(Attention):
    """Changes its mask to another."""

    def __init__(self, value: float) -> None:
        super().__init__(1.0)
        self.value = value

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        result = super().perform(task, parameters, sequence=sequence, counted=counted)
        mask = parameters["mask"].copy()
        mask[0, -1] = self.value
        return TaskResult(1, {}, {**(result.parameters or {}), "mask": mask})


def sites() -> dict[str, Adder]:
    return {"a": Attention(1.0, examples=1), "b": Attention(2.0, examples=3), "c": Attention(3.0, examples=2)}


LOSSY = {"smallest": 1, "download": ["delta", "zstd"]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aggregation": {"rule": "mean"}},
        {"aggregation": {"rule": "median"}},
        {"aggregation": {"rule": "trimmed_mean", "trim": 0.34}},
        {"aggregation": {"server_optimizer": {"name": "sgd", "momentum": 0.5}}},
        {"aggregation": {"server_optimizer": {"name": "adam", "lr": 0.1}}},
        {"aggregation": {"server_optimizer": {"name": "yogi", "lr": 0.1}}},
        {"aggregation": {"server_optimizer": {"name": "adagrad", "lr": 0.1}}},
        *({"compression": {"upload": steps, **LOSSY}} for steps in (
            ["zstd"], ["fp16"], ["bf16"], ["int8"], ["rotate", "int4", "zstd"], ["eden"], ["drive"], ["stc"],
            [{"name": "top_k", "fraction": 0.3}], [{"name": "random_k", "fraction": 0.3}],
        )),
        {"tasks": {"train": {"discloses": AGGREGATE | {"tensors": ["w", "bias"]}}}},
    ],
    ids=str,
)  # fmt: skip
def test_infinities_stay_and_the_rest_is_trained(changes: dict[str, Any], tmp_path: Path) -> None:
    simulation = Simulation(sites(), tmp_path, rounds=3, **changes)

    run = simulation.drive()

    assert run.model is not None
    model = simulation.host.tensors(run.model)
    assert model["mask"].tobytes() == MASK.tobytes()
    assert (np.isinf(model["bias"]) == np.isinf(MASK)).all()
    assert (model["w"] > 0).any()


def test_the_rest_of_a_tensor_with_infinities_gets_the_mean_to_the_bit() -> None:
    simulation = Simulation(sites(), rounds=1)

    run = simulation.drive()

    assert run.model is not None
    model = simulation.host.tensors(run.model)
    assert model["bias"].tobytes() == (MASK + np.float32(13 / 6)).tobytes()


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_a_site_that_changes_an_infinity_fails_with_the_way_out(value: float) -> None:
    simulation = Simulation({"a": Attention(1.0), "b": Unmasking(value)}, rounds=1)

    with pytest.raises(QuorumError, match=r"b .*infinity in tensor 'mask'.*register_buffer"):
        simulation.drive()


def test_a_plans_own_workflow_may_compute_with_infinities() -> None:
    def median(federation: Federation) -> None:
        for round in federation.rounds():
            updates = list(round.ask("train"))
            deltas = {name: [(u.delta or {})[name] for u in updates] for name in round.model}
            round.commit({name: round.model[name] + np.median(deltas[name], axis=0) for name in round.model})

    simulation = Simulation(sites(), rounds=2, tasks={"train": {"discloses": INDIVIDUAL}})

    run = simulation.drive(median)

    assert run.model is not None
    assert simulation.host.tensors(run.model)["mask"].tobytes() == MASK.tobytes()
