"""A torch learner in and between its steps: local rules, schedules, precision, models that stay."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, TaskError, UpdateError
from hanse.learners.notices import notices_kept
from hanse.learners.personal.session import learner_session
from hanse.learners.session import LearnerSession
from hanse.learners.torch import TorchLearner, accuracy
from hanse.local import ControlVariates, Normalise, Proximal
from hanse.local.applied import with_rules
from hanse.local.base import LocalRule
from hanse.wire.tensors import open_file, write_file

pytestmark = pytest.mark.torch

X = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(12, 2)
Y = X.sum(dim=1, keepdim=True) + 1
SGD = partial(torch.optim.SGD, lr=0.1)
MOMENTUM = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
STEP = partial(StepLR, step_size=1, gamma=0.5)
START = {"weight": np.array([[0.3, -0.2]]), "bias": np.array([0.1])}
CONTROL = {"control": {"weight": np.array([[0.5, 0.25]]), "bias": np.array([-1.0])}}
SITE = Site("north", DataSources("north", {}))


def line(**options: Any) -> TorchLearner:
    """A straight line through 12 points, in float64; one batch is all of them."""
    options = {"optimizer": SGD, "train": (X, Y), "validate": (X, Y), "device": "cpu", **options}
    return TorchLearner(nn.Linear(2, 1).double(), nn.MSELoss(), **options)


def train(number: int = 1, name: str = "train", rules: Any = (), **settings: Any) -> Task:
    settings = {"batch_size": 12, "epochs": 3, **settings}
    return with_rules(Task(name, number, number, settings, CONTROL), rules)


def session(folder: Path, **options: Any) -> LearnerSession:
    return LearnerSession(lambda site: line(**options), SITE, folder)


def numbers(result: TaskResult) -> np.ndarray[Any, Any]:
    return np.concatenate([numbers_of(result, name) for name in ("weight", "bias")])


def numbers_of(result: TaskResult, name: str) -> np.ndarray[Any, Any]:
    assert result.parameters is not None
    return np.ravel(result.parameters[name])


def gradient(theta: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of the mean square error of `line`, at weights and bias, shape (3,)."""
    x, y = X.numpy(), Y.numpy()[:, 0]
    residual = 2 / 12 * (x @ theta[:2] + theta[2] - y)
    return np.append(x.T @ residual, residual.sum())


THETA = np.array([0.3, -0.2, 0.1])
C = np.array([0.5, 0.25, -1.0])


def test_fedprox_is_applied_with_a_momentum_optimiser(tmp_path: Path) -> None:
    result = session(tmp_path, optimizer=MOMENTUM).perform(train(rules=[Proximal(0.5)]), START, sequence=1)

    theta, velocity = THETA, np.zeros(3)
    for _ in range(3):
        velocity = 0.9 * velocity + gradient(theta) + 0.5 * (theta - THETA)
        theta = theta - 0.1 * velocity
    np.testing.assert_allclose(numbers(result), theta, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keep", [False, True], ids=["new optimiser", "kept optimiser"])
def test_scaffold_is_applied_with_a_momentum_optimiser(tmp_path: Path, keep: bool) -> None:
    trained = session(tmp_path, optimizer=MOMENTUM, keep_optimizer=keep)

    own, velocity = np.zeros(3), np.zeros(3)
    for number in (1, 2):
        result = trained.perform(
            train(number, rules=[ControlVariates(), Normalise()]), START, sequence=number
        )
        theta, raw = THETA, []
        velocity = velocity if keep else np.zeros(3)
        for _ in range(3):
            raw.append(gradient(theta))
            velocity = 0.9 * velocity + raw[-1] - own + C
            theta = theta - 0.1 * velocity
        after = np.mean(raw, axis=0)
        np.testing.assert_allclose(numbers(result), THETA + (theta - THETA) / 3, rtol=0, atol=1e-12)
        change = result.groups["control"]
        found = np.append(change["weight"], change["bias"])
        np.testing.assert_allclose(found, after - own, rtol=0, atol=1e-12)
        own = after


def test_no_pull_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    adam = partial(torch.optim.Adam, lr=0.1)
    plain = session(tmp_path / "a", optimizer=adam).perform(train(), START, sequence=1)
    proximal = session(tmp_path / "b", optimizer=adam).perform(train(rules=[Proximal(0)]), START, sequence=1)

    assert numbers(plain).tobytes() == numbers(proximal).tobytes()


def test_frozen_tensors_stay_as_they_are(tmp_path: Path) -> None:
    def frozen(site: Site) -> TorchLearner:
        learner = line()
        learner._model.weight.requires_grad_(False)
        return learner

    rules: list[LocalRule] = [ControlVariates(), Proximal(0.5)]
    result = LearnerSession(frozen, SITE, tmp_path).perform(train(rules=rules), START, sequence=1)

    assert numbers(result)[:2].tolist() == THETA[:2].tolist()
    assert numbers(result)[2] != THETA[2]
    assert not result.groups["control"]["weight"].any()
    assert result.groups["control"]["bias"].any()


def test_personal_tensors_are_trained_without_rules(tmp_path: Path) -> None:
    groups = {"control": {"weight": CONTROL["control"]["weight"]}}
    task = with_rules(Task("train", 1, 1, {"batch_size": 12}, groups), [ControlVariates()], ["bias"])
    whole = LearnerSession(lambda site: line(), SITE, tmp_path, personal=["bias"])

    result = whole.perform(task, START, sequence=1)

    trained = numbers(result)
    assert result.groups["control"].keys() == {"weight"}
    expected = THETA - 0.1 * (gradient(THETA) + np.append(C[:2], 0))
    np.testing.assert_allclose(trained, expected, rtol=0, atol=1e-12)


def test_gradients_that_no_step_is_made_along_are_not_corrected(tmp_path: Path) -> None:
    def only_bias(site: Site) -> TorchLearner:
        return line(optimizer=lambda parameters: SGD([p for p in parameters if p.ndim == 1]))

    task = train(rules=[ControlVariates()])
    result = LearnerSession(only_bias, SITE, tmp_path).perform(task, START, sequence=1)

    assert not result.groups["control"]["weight"].any()  # its gradients pile up, and mean nothing


def test_gradients_are_clipped_after_they_are_corrected(tmp_path: Path) -> None:
    options = {"clip_norm": 0.25}
    result = session(tmp_path, **options).perform(train(rules=[ControlVariates()]), START, sequence=1)

    theta = THETA
    for _ in range(3):
        corrected = gradient(theta) + C
        theta = theta - 0.1 * corrected * min(1, 0.25 / np.linalg.norm(corrected))
    np.testing.assert_allclose(numbers(result), theta, rtol=0, atol=1e-6)  # torch adds 1e-6 to the norm


def descents(trained: LearnerSession, rounds: int = 3, **settings: Any) -> list[float]:
    """How far each round goes down, by the gradient that it starts with: the rate, for one step a round."""
    ends = []
    for number in range(1, rounds + 1):
        result = trained.perform(train(number, **settings), START, sequence=number)
        ends.append(round(float((THETA - numbers(result))[0] / gradient(THETA)[0]), 9))
    return ends


@pytest.mark.parametrize("keep", [False, True], ids=["new optimiser", "kept optimiser"])
@pytest.mark.parametrize(
    ("interval", "settings", "expected"),
    [
        ("round", {"epochs": 1}, [0.1, 0.05, 0.025]),
        ("epoch", {"epochs": 1}, [0.1, 0.05, 0.025]),
        ("batch", {"batches": 1}, [0.1, 0.05, 0.025]),
    ],
)
def test_a_schedule_goes_on_from_round_to_round(
    tmp_path: Path, keep: bool, interval: Any, settings: Any, expected: list[float]
) -> None:
    options = {"scheduler": STEP, "scheduler_interval": interval, "keep_optimizer": keep}

    assert descents(session(tmp_path, **options), **settings) == expected


def test_a_schedule_of_epochs_counts_whole_passes() -> None:
    made: list[StepLR] = []

    def scheduler(optimizer: torch.optim.Optimizer) -> StepLR:
        made.append(STEP(optimizer))
        return made[-1]

    learner = line(scheduler=scheduler, scheduler_interval="epoch")
    settings = {"batch_size": 6, "batches": 5}
    learner.train(START, Task("train", 1, 1, settings))

    assert made[-1].get_last_lr() == [0.025]  # two passes of two batches, and half of another


@pytest.mark.parametrize("keep", [False, True], ids=["new optimiser", "kept optimiser"])
@pytest.mark.parametrize(
    "scheduler",
    [
        STEP,
        partial(LambdaLR, lr_lambda=lambda step: 1 / (1 + step)),
        partial(OneCycleLR, max_lr=0.5, total_steps=20),
    ],
    ids=["step", "lambda", "one cycle"],
)
def test_a_schedule_survives_a_restart_to_the_bit(tmp_path: Path, keep: bool, scheduler: Any) -> None:
    options = {"optimizer": MOMENTUM, "scheduler": scheduler, "keep_optimizer": keep}
    undisturbed = session(tmp_path / "a", **options)
    with notices_kept() as noted:
        for number in (1, 2, 3):
            one = undisturbed.perform(train(number), START, sequence=number)
            two = session(tmp_path / "b", **options).perform(train(number), START, sequence=number)

            assert numbers(one).tobytes() == numbers(two).tobytes()
    assert noted == []


def test_a_site_without_examples_follows_the_schedule(tmp_path: Path) -> None:
    empty = session(tmp_path, train=(X[:0], Y[:0]), scheduler=STEP)
    learner = line(train=(X[:0], Y[:0]), scheduler=STEP)

    empty.perform(train(), START, sequence=1)
    learner.train(START, train())

    assert learner._carried["scheduler"].keys() >= {"skeleton"}


def test_a_rate_in_the_plan_and_a_schedule_are_refused_together() -> None:
    with pytest.raises(PlanError, match="train has an lr, and the learner has a scheduler"):
        line(scheduler=STEP).train(START, train(lr=0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_norm": 0}, "clip_norm must be a number above 0"),
        ({"amp": "float32"}, "amp must be one of bfloat16, float16, got 'float32'"),
        ({"scheduler_interval": "step"}, "scheduler_interval must be one of batch, epoch, round"),
        ({"scheduler": ReduceLROnPlateau, "keep_optimizer": True}, "needs a metric"),
    ],
)
def test_options_out_of_their_range_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        line(**options)


def classifier(**options: Any) -> TorchLearner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    data = (X.float(), (Y[:, 0] > 1).long())
    options = {"optimizer": partial(torch.optim.Adam, lr=0.1), "device": "cpu", **options}
    return TorchLearner(model, nn.CrossEntropyLoss(), train=data, validate=data, **options)


@pytest.mark.parametrize("amp", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_keeps_the_dtypes_of_the_model(tmp_path: Path, amp: Any) -> None:
    trained = LearnerSession(lambda site: classifier(amp=amp, metrics={"accuracy": accuracy}), SITE, tmp_path)
    parameters = trained.initial_parameters()

    result = trained.perform(train(epochs=20), parameters, sequence=1)
    assert result.parameters is not None
    assert {array.dtype for array in result.parameters.values()} == {np.dtype(np.float32)}
    learnt = {name: np.array(array) for name, array in result.parameters.items()}
    evaluated = trained.perform(Task("evaluate", 1, 1), learnt, sequence=2)

    assert evaluated.metrics["accuracy"] == 1


def test_mixed_precision_computes_in_fewer_bits() -> None:
    whole, mixed = (
        classifier(amp=amp).train(classifier().parameters(), train()).metrics["loss"]
        for amp in (None, "bfloat16")
    )

    assert whole == pytest.approx(mixed, abs=0.01)
    assert whole != mixed


def test_the_scale_of_half_precision_survives_a_restart(tmp_path: Path) -> None:
    def learner(site: Site) -> TorchLearner:
        return classifier(amp="float16")

    parameters = classifier().parameters()
    undisturbed = LearnerSession(learner, SITE, tmp_path / "a")
    for number in (1, 2):
        one = undisturbed.perform(train(number), parameters, sequence=number)
        two = LearnerSession(learner, SITE, tmp_path / "b").perform(
            train(number), parameters, sequence=number
        )
        assert one.parameters is not None
        assert two.parameters is not None
        assert all((one.parameters[name] == two.parameters[name]).all() for name in one.parameters)


def test_a_step_whose_gradients_overflow_is_left_out_and_not_summed(tmp_path: Path) -> None:
    class Steep(nn.Module):
        """Its first gradient, times the first scale of 65536, is beyond float16."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return (inputs.sum(dim=1, keepdim=True).half() * self.weight.half()) * 3

    def steep(site: Site) -> TorchLearner:
        data = (torch.ones(2, 2), torch.zeros(2, 1))
        loss = nn.L1Loss()
        return TorchLearner(Steep(), loss, SGD, data, data, device="cpu", amp="float16")

    model = {"weight": np.ones(1, np.float32)}
    task = with_rules(
        Task("train", 1, 1, {"epochs": 4}, {"control": {"weight": np.zeros(1, np.float32)}}),
        [ControlVariates(), Normalise()],
    )
    result = LearnerSession(steep, SITE, tmp_path).perform(task, model, sequence=1)

    assert 0 < result.groups["steps"] < 4
    assert result.groups["control"]["weight"].tolist() == [6]


def test_images_are_trained_with_their_channels_last_and_travel_as_always(tmp_path: Path) -> None:
    seen = []

    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, 2, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.is_contiguous(memory_format=torch.channels_last))
            return self.layer(images).mean(dim=(2, 3))

    random = torch.Generator().manual_seed(1)
    data = (torch.rand(6, 3, 4, 4, generator=random), torch.tensor([0, 1] * 3))

    def learner(last: bool) -> TorchLearner:
        options = {"device": "cpu", "channels_last": last}
        return TorchLearner(Convolution(), nn.CrossEntropyLoss(), SGD, data, data, **options)

    start = {name: np.array(array, order="C") for name, array in learner(False).parameters().items()}
    results = [
        LearnerSession(lambda site, last=last: learner(last), SITE, tmp_path / str(last)).perform(
            train(), start, sequence=1
        )
        for last in (False, True)
    ]

    assert seen == [False] * 3 + [True] * 3
    for place, result in zip(("a", "b"), results, strict=True):
        assert result.parameters is not None
        write_file(tmp_path / place, result.parameters)
    plain, last = open_file(tmp_path / "a"), open_file(tmp_path / "b")
    assert all(np.allclose(plain[name], last[name], atol=1e-6) for name in plain)


def ditto(rounds: int, lam: float) -> list[float]:
    """The losses of Algorithm 1 of arXiv 2012.04221, for one site and a global model that does not change."""
    own, losses = THETA, []
    for _ in range(rounds):
        for _ in range(3):
            own = own - 0.1 * (gradient(own) + lam * (own - THETA))
        losses.append(float(np.mean((X.numpy() @ own[:2] + own[2] - Y.numpy()[:, 0]) ** 2)))
    return losses


def test_personalise_is_ditto_and_survives_a_restart(tmp_path: Path) -> None:
    losses = []
    for number in (1, 2, 3):
        task = train(number, "personalise", [Proximal(0.5)])
        result = session(tmp_path).perform(task, START, sequence=number)
        assert result.parameters is None
        assert result.num_examples == 12
        losses.append(result.metrics["loss"])

    np.testing.assert_allclose(losses, ditto(3, 0.5), rtol=0, atol=1e-12)


def test_a_model_that_stays_changes_nothing_of_the_model_that_is_trained(tmp_path: Path) -> None:
    options = {"optimizer": MOMENTUM, "keep_optimizer": True, "scheduler": STEP}
    plain, both = session(tmp_path / "plain", **options), session(tmp_path / "both", **options)

    for number in (1, 2):
        expected = plain.perform(train(number), START, sequence=4 * number)
        for place, name in enumerate(("personalise", "finetune")):
            both.perform(train(number, name), START, sequence=4 * number - 3 + place)
        found = both.perform(train(number), START, sequence=4 * number)

        assert numbers(found).tobytes() == numbers(expected).tobytes()


def test_finetune_begins_with_the_received_model_each_time(tmp_path: Path) -> None:
    tuned = session(tmp_path)

    results = [tuned.perform(train(number, "finetune"), START, sequence=number) for number in (1, 2)]

    assert [result.parameters for result in results] == [None, None]
    np.testing.assert_allclose([r.metrics["loss"] for r in results], ditto(1, 0) * 2, rtol=0, atol=1e-12)


def test_a_site_without_examples_personalises_nothing(tmp_path: Path) -> None:
    task = train(1, "personalise", [Proximal(0.5)])

    result = session(tmp_path, train=(X[:0], Y[:0])).perform(task, START, sequence=1)

    assert result.num_examples == 0


class Adapted(nn.Module):
    """A frozen layer, one in low rank that is trained, and a count that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(2, 1).double().requires_grad_(False)
        self.lora_a = nn.Parameter(torch.ones(1, 2, dtype=torch.float64))
        self.lora_b = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        scale = 1 + 0.01 * self.calls
        return scale * (self.base(inputs) + inputs @ self.lora_a.T @ self.lora_b.T)


def adapted(**options: Any) -> TorchLearner:
    torch.manual_seed(0)
    options = {"exchange": ["lora_*"], "device": "cpu", **options}
    return TorchLearner(Adapted(), nn.MSELoss(), SGD, (X, Y), (X, Y), **options)


def test_adapters_alone_are_exchanged(tmp_path: Path) -> None:
    trained = LearnerSession(lambda site: adapted(), SITE, tmp_path)
    parameters = trained.initial_parameters()
    groups = {"control": {name: np.zeros_like(array) for name, array in parameters.items()}}
    task = with_rules(Task("train", 1, 1, {}, groups), [ControlVariates()])

    result = trained.perform(task, parameters, sequence=1)

    assert parameters.keys() == {"lora_a", "lora_b"}
    assert result.parameters is not None
    assert result.parameters.keys() == {"lora_a", "lora_b"}
    assert result.parameters["lora_b"].any()


def test_what_is_not_exchanged_begins_every_task_as_it_was() -> None:
    learner = adapted()
    start = {name: np.array(array) for name, array in learner.parameters().items()}

    results = [learner.train(start, train()).metrics["loss"] for _ in range(2)]

    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exchange": ["lora_a"]}, "'lora_b' would be trained and is neither exchanged nor personal"),
        ({"exchange": ["adapter.*"]}, r"no tensor of the model fits 'adapter\.\*'"),
    ],
)
def test_a_choice_that_loses_what_is_trained_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapted(**options)


def test_a_tensor_that_stays_need_not_be_exchanged(tmp_path: Path) -> None:
    session = learner_session(
        lambda _: adapted(exchange=["lora_a"]), SITE, tmp_path / "kept", ["lora_b"], tmp_path / "personal"
    )
    start = session.initial_parameters()

    result = session.perform(train(), start, sequence=1)

    assert start.keys() == (result.parameters or {}).keys() == {"lora_a"}


def test_adapters_that_all_stay_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="nothing would be exchanged"):
        LearnerSession(lambda _: adapted(), SITE, tmp_path, personal=["lora_*"]).initial_parameters()


def test_parameters_of_another_model_are_refused() -> None:
    with pytest.raises(UpdateError, match="do not fit the torch model"):
        adapted().train({"lora_a": np.ones((1, 2))}, train())
