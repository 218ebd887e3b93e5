"""The learner of a torch training script."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, TaskError, UpdateError
from hanse.learners.agreement import Agreement
from hanse.learners.base import Session
from hanse.learners.notices import notices_kept
from hanse.learners.personal.session import PersonalSession, learner_session
from hanse.learners.session import LearnerSession
from hanse.learners.torch import TorchLearner, accuracy

pytestmark = pytest.mark.torch

X = torch.linspace(-1, 1, 60).reshape(30, 2)
Y = (X.sum(dim=1) > 0).long()


class Pairs(Dataset[Any]):
    """The examples one by one."""

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[index], Y[index]


class Stream(IterableDataset[Any]):
    """Examples whose number nobody knows."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(X, Y, strict=True)


def learner(train: Any = (X, Y), validate: Any = (X, Y), **options: Any) -> TorchLearner:
    torch.manual_seed(0)
    options = {"optimizer": partial(torch.optim.Adam, lr=0.1), "device": "cpu", **options}
    return TorchLearner(
        nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(4, 2)),
        nn.CrossEntropyLoss(),
        train=train,
        validate=validate,
        **options,
    )


def at_site(
    factory: Callable[[Site], TorchLearner], site: Site, folder: Path, personal: Sequence[str]
) -> Session:
    return learner_session(factory, site, folder / "kept", personal, folder / "personal")


def train(round_number: int = 1, **settings: Any) -> Task:
    return Task("train", round_number, seed=round_number, settings=settings)


def copies(result: TaskResult) -> dict[str, Any]:
    assert result.parameters is not None
    return {name: array.copy() for name, array in result.parameters.items()}


def bits(result: TaskResult) -> list[bytes]:
    return [array.tobytes() for array in copies(result).values()]


def steps(learner: TorchLearner, **settings: Any) -> int:
    """How many batches a task trained on, as the batch norm has counted them."""
    result = learner.train(learner.parameters(), train(**settings))
    assert result.parameters is not None
    return int(result.parameters["1.num_batches_tracked"])


@pytest.mark.parametrize("data", [(X, Y), Pairs()], ids=["tensors", "data set"])
@pytest.mark.parametrize(("last", "examples"), [("drop", 29), ("merge", 30)])
def test_a_last_batch_of_one_is_dropped_or_merged_for_layers_that_need_two(
    data: Any, last: str, examples: int
) -> None:
    trained = learner(train=data)

    assert steps(trained, batch_size=29, last_batch=last) == 1
    assert trained.train(trained.parameters(), train(batch_size=29, last_batch=last)).num_examples == examples


def test_batches_that_end_amid_a_pass_count_its_examples_without_the_dropped() -> None:
    trained = learner()

    result = trained.train(trained.parameters(), train(batches=1, batch_size=7, last_batch="drop"))

    assert result.num_examples == 28


def test_the_error_of_a_batch_norm_that_sees_one_example_says_what_to_do(tmp_path: Path, site: Site) -> None:
    session = LearnerSession(lambda site: learner(), site, tmp_path)
    parameters = session.initial_parameters()

    with pytest.raises(TaskError, match="more than 1 value per channel") as caught:
        session.perform(train(batch_size=29), parameters, sequence=1)

    assert "`last_batch: merge`" in caught.value.mend


def test_batches_for_which_a_metric_is_not_defined_do_not_count() -> None:
    def share_of_first(outputs: torch.Tensor, targets: torch.Tensor) -> float | None:
        return None if len(targets) < 20 else float((targets == 0).double().mean())

    measured = learner(metrics={"share": share_of_first, "never": lambda outputs, targets: None})

    result = measured.evaluate(measured.parameters(), Task("evaluate", 1, 1, {"batch_size": 20}))

    assert result.metrics["share"] == float((Y[:20] == 0).double().mean())
    assert result.metrics["never"] is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X.to_sparse(), Y), r"train has a sparse tensor \(sparse_coo\): give dense tensors"),
        ((X.numpy(), Y.numpy()), "two tensors .* got a numpy.ndarray and a numpy.ndarray"),
    ],
    ids=["sparse", "arrays"],
)
def test_data_that_cannot_be_cut_into_batches_are_refused_in_words(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner(train=data)


def test_the_error_of_class_numbers_in_a_column_says_what_to_give(tmp_path: Path, site: Site) -> None:
    session = LearnerSession(lambda site: learner(train=(X, Y[:, None])), site, tmp_path)
    parameters = session.initial_parameters()

    with pytest.raises(TaskError, match="target tensor expected") as caught:
        session.perform(train(), parameters, sequence=1)

    assert "give `targets.squeeze(1)`" in caught.value.mend


def test_a_data_loader_decides_itself_on_its_last_batch() -> None:
    with pytest.raises(PlanError, match="has a last_batch, but the data are a DataLoader") as caught:
        learner(train=DataLoader(Pairs())).train({}, train(last_batch="merge"))

    assert "`drop_last=True`" in caught.value.mend


def test_parameters_are_the_state_dict_with_its_dtypes() -> None:
    parameters = learner().parameters()

    assert list(parameters)[:3] == ["0.weight", "0.bias", "1.weight"]
    assert parameters["0.weight"].shape == (4, 2)
    assert (parameters["1.num_batches_tracked"].dtype, parameters["1.num_batches_tracked"].shape) == (
        np.int64,
        (),
    )


def test_a_model_in_half_precision_is_exchanged_in_it() -> None:
    model = nn.Linear(2, 1).bfloat16()
    one = TorchLearner(
        model,
        nn.MSELoss(),
        partial(torch.optim.SGD, lr=0.1),
        (X.bfloat16(), Y[:, None].bfloat16()),
        (X.bfloat16(), Y[:, None].bfloat16()),
    )

    result = one.train({name: array.copy() for name, array in one.parameters().items()}, train())

    assert result.parameters is not None
    assert {array.dtype.name for array in result.parameters.values()} == {"bfloat16"}


def test_training_learns_and_evaluation_says_so() -> None:
    one = learner(metrics={"accuracy": accuracy})
    before = one.evaluate(one.parameters(), Task("evaluate", 1, 0))

    trained = one.train(one.parameters(), train(epochs=20))
    after = one.evaluate(copies(trained), Task("evaluate", 1, 0))

    assert (trained.num_examples, after.num_examples, after.parameters) == (30, 30, None)
    assert after.metrics["loss"] < before.metrics["loss"]
    assert after.metrics["accuracy"] > 0.9


def test_metrics_are_means_over_the_examples_whatever_the_batches() -> None:
    one = learner(metrics={"accuracy": accuracy, "mean": lambda outputs, targets: targets.double().mean()})
    parameters = one.parameters()

    results = [one.evaluate(parameters, Task("evaluate", 1, 0, {"batch_size": size})) for size in (7, 30)]

    assert results[0].metrics == pytest.approx(results[1].metrics, rel=1e-6)
    assert results[1].metrics["mean"] == Y.double().mean()


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        TensorDataset(X, Y),
        Pairs(),
        DataLoader(Pairs(), batch_size=10, shuffle=True),
        DataLoader(Pairs(), batch_size=10, shuffle=True, generator=torch.Generator()),
    ],
    ids=["tensors", "tensor data set", "data set", "loader", "loader with a generator"],
)
def test_a_task_done_again_gives_the_same_bits(data: Any, site: Site, tmp_path: Path) -> None:
    session = LearnerSession(lambda site: learner(data), site, tmp_path)
    start = session.initial_parameters()

    results = [bits(session.perform(train(r), start, sequence=r)) for r in (1, 1, 2, 1)]

    assert results[0] == results[1] == results[3]
    assert results[0] != results[2]


@pytest.mark.parametrize("data", [(X, Y), Pairs(), Subset(Pairs(), range(30))])
def test_settings_say_how_long_to_train(data: Any) -> None:
    assert steps(learner(data)) == 1
    assert steps(learner(data), batch_size=10) == 3
    assert steps(learner(data), batch_size=10, epochs=4) == 12
    assert steps(learner(data), batch_size=10, batches=7) == 7


def test_a_loader_has_batches_of_its_own() -> None:
    loader = DataLoader(Pairs(), batch_size=15)

    assert steps(learner(loader), epochs=2) == 4
    with pytest.raises(PlanError, match="task train has a batch_size, but the data are a DataLoader"):
        steps(learner(loader), batch_size=10)


def test_a_loader_of_a_part_counts_the_part() -> None:
    loader = DataLoader(Pairs(), batch_size=5, sampler=torch.utils.data.SubsetRandomSampler(range(10)))
    one = learner(loader)

    assert one.train(one.parameters(), train()).num_examples == 10


class Batched(Pairs):
    """A data set whose items are whole batches."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        part = slice(index * 10, (index + 1) * 10)
        return X[part], Y[part]


class Half:
    """Batches of the user's making: only of the first examples."""

    def __iter__(self) -> Iterator[list[int]]:
        yield from ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])

    def __len__(self) -> int:
        return 2


def repeated(count: int) -> DataLoader[Any]:
    sampler = torch.utils.data.WeightedRandomSampler([1.0] * 30, count, replacement=True)
    return DataLoader(Pairs(), batch_size=10, sampler=sampler)


@pytest.mark.parametrize("settings", [{}, {"epochs": 3}, {"batches": 1}, {"batches": 7}], ids=str)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ((X, Y), 30),
        (Pairs(), 30),
        (DataLoader(Pairs(), batch_size=20), 30),
        (DataLoader(Pairs(), batch_size=20, drop_last=True), 20),
        (DataLoader(Pairs(), batch_sampler=Half()), 10),
        (DataLoader(Batched(), batch_size=None), 30),
        (repeated(20), 20),
        (repeated(300), 30),
    ],
    ids=["tensors", "set", "loader", "drop_last", "batch sampler", "batches", "fewer drawn", "more drawn"],
)
def test_the_examples_of_a_pass_are_counted(data: Any, expected: int, settings: Any) -> None:
    one = learner(data)

    assert one.train(one.parameters(), train(**settings)).num_examples == expected


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(Pairs(), batch_size=64, drop_last=True),
        DataLoader(Pairs(), batch_sampler=[]),
        DataLoader(Pairs(), batch_size=4, collate_fn=lambda examples: (X[:0], Y[:0])),
    ],
    ids=["drop_last", "no batches", "empty batches"],
)
def test_a_site_that_trained_on_nothing_counts_for_nothing(data: Any) -> None:
    one = learner(data, keep_optimizer=True)
    start = copies(TaskResult(0, {}, one.parameters()))

    result = one.train(start, train(epochs=2))

    assert (result.num_examples, result.metrics) == (0, {})
    assert bits(result) == [array.tobytes() for array in start.values()]


def without_even(examples: Any) -> Any:
    kept = [pair for pair in examples if int(pair[1])]
    return torch.utils.data.default_collate(kept) if kept else (X[:0], Y[:0])


def test_an_empty_batch_is_no_part_of_the_mean() -> None:
    loader = DataLoader(Pairs(), batch_size=5, collate_fn=without_even)
    one = learner(loader, loader, metrics={"accuracy": accuracy})

    trained = one.train(one.parameters(), train(epochs=2))
    measured = one.evaluate(one.parameters(), Task("evaluate", 1, 0))

    assert trained.num_examples == measured.num_examples == int(Y.sum())
    assert np.isfinite([trained.metrics["loss"], *measured.metrics.values()]).all()
    assert all(np.isfinite(array).all() for array in copies(trained).values())


def test_lists_with_a_part_for_each_example_are_counted_by_their_length() -> None:
    class Boxes(Pairs):
        def __getitem__(self, index: int) -> Any:
            return X[index], {"boxes": torch.ones(index % 3, 4)}

    def collate(examples: Any) -> Any:
        return torch.stack([x for x, _ in examples]), [target for _, target in examples]

    one = TorchLearner(
        nn.Linear(2, 1),
        lambda outputs, targets: outputs.square().mean() + len(targets),
        partial(torch.optim.SGD, lr=0.1),
        DataLoader(Boxes(), batch_size=7, collate_fn=collate),
        DataLoader(Boxes(), batch_size=7, collate_fn=collate),
        device="cpu",
    )

    assert one.train(one.parameters(), train()).num_examples == 30
    assert one.evaluate(one.parameters(), Task("evaluate", 1, 0)).num_examples == 30


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (lambda examples: X[:2], r"a batch of the train data is a torch\.Tensor, expected a pair"),
        (lambda examples: (X, Y, Y), r"is a tuple of 3 parts, expected a pair .* Weights of examples"),
        (lambda examples: {"inputs": X, "targets": Y}, "is a dict, expected a pair"),
    ],
)
def test_a_batch_that_is_no_pair_is_refused(collate: Any, message: str) -> None:
    one = learner(DataLoader(Pairs(), batch_size=2, collate_fn=collate))

    with pytest.raises(TaskError, match=message):
        one.train(one.parameters(), train())


def test_every_generator_of_a_loader_is_seeded() -> None:
    sampler = torch.utils.data.RandomSampler(Pairs(), generator=torch.Generator())
    batches = torch.utils.data.BatchSampler(sampler, 10, drop_last=False)
    one = learner(DataLoader(Pairs(), batch_sampler=batches))
    start = copies(TaskResult(0, {}, one.parameters()))

    def again() -> list[bytes]:
        torch.manual_seed(3)
        return bits(one.train(start, train()))

    assert again() == again()


def test_lr_stands_for_one_rate_and_not_for_several() -> None:
    def several(parameters: Any) -> torch.optim.Optimizer:
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.2}])

    one = learner(optimizer=several)

    with pytest.raises(
        PlanError, match=r"task train has an lr, and the optimiser has several .*: 0\.1, 0\.2"
    ):
        one.train(one.parameters(), train(lr=0.5))


def test_lr_of_one_task_is_not_that_of_the_next() -> None:
    one, two = (learner(keep_optimizer=True, optimizer=partial(torch.optim.SGD, lr=0.1)) for _ in range(2))
    start = copies(TaskResult(0, {}, one.parameters()))
    one.train(start, train(lr=5.0))
    torch.manual_seed(3)
    after = bits(one.train(start, train()))
    torch.manual_seed(3)

    assert after == bits(two.train(start, train()))


@pytest.mark.parametrize("keep", [True, False])
def test_an_optimiser_that_was_made_before_is_refused(keep: bool) -> None:
    """Its state would pass from task to task, and from one virtual site to the next."""
    one = learner()
    model = nn.Linear(2, 2)
    shared = torch.optim.Adam(model.parameters())

    def at_a_site() -> None:
        one = TorchLearner(
            model, nn.CrossEntropyLoss(), lambda _: shared, (X, Y), (X, Y), device="cpu", keep_optimizer=keep
        )
        one.train(one.parameters(), train())

    at_a_site()
    with pytest.raises(TaskError, match="an optimiser that it has returned before"):
        at_a_site()
    one.train(one.parameters(), train())  # a new one each time


def test_labels_and_columns_are_those_that_were_given() -> None:
    assert learner().agreement() == Agreement()
    assert learner(labels=np.array(["a", "b"]), features=["age", "sex"]).agreement() == Agreement(
        ("a", "b"), ("age", "sex")
    )


def test_lr_takes_the_place_of_the_optimisers_own() -> None:
    one, two = learner(), learner(optimizer=partial(torch.optim.Adam, lr=0.5))
    start = copies(TaskResult(0, {}, one.parameters()))
    torch.manual_seed(3)
    first = bits(one.train(start, train(lr=0.5)))
    torch.manual_seed(3)

    assert bits(two.train(start, train())) == first


def test_a_site_without_examples_gives_back_what_it_got() -> None:
    one = learner((X[:0], Y[:0]), (X[:0], Y[:0]))
    start = copies(TaskResult(0, {}, one.parameters()))

    result = one.train(start, train(batches=3))

    assert (result.num_examples, result.metrics) == (0, {})
    assert bits(result) == [array.tobytes() for array in start.values()]
    assert one.evaluate(start, Task("evaluate", 1, 0)).metrics == {}


def test_inputs_may_be_nested() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, inputs: dict[str, Any]) -> torch.Tensor:
            return self.layer(inputs["a"] + inputs["b"][0])

    class Nested(Pairs):
        def __getitem__(self, index: int) -> Any:
            return {"a": X[index], "b": (X[index],)}, {"y": Y[index, None].float()}

    one = TorchLearner(
        Both(),
        lambda outputs, targets: (outputs - targets["y"]).square().mean(),
        partial(torch.optim.SGD, lr=0.1),
        Nested(),
        Nested(),
    )

    assert one.evaluate(one.parameters(), Task("evaluate", 1, 0)).num_examples == 30


@pytest.mark.parametrize("personal", [(), ("4.*",), ("1.*",)])
@pytest.mark.parametrize("keep", [False, True])
def test_what_stays_at_the_site_survives_a_restart_to_the_bit(
    keep: bool, personal: tuple[str, ...], site: Site, tmp_path: Path
) -> None:
    def rounds(session_of: Callable[[], Session]) -> list[list[bytes]]:
        parameters = session_of().initial_parameters()
        results = []
        for r in (1, 2, 3):
            result = session_of().perform(train(r, batch_size=10), parameters, sequence=r)
            results.append(bits(result))
            parameters = copies(result)
        return results

    def session(name: str) -> Session:
        return at_site(lambda site: learner(keep_optimizer=keep), site, tmp_path / name, personal)

    undisturbed = session("a")
    expected = rounds(lambda: undisturbed)

    assert rounds(lambda: session("b")) == expected


def test_without_keeping_every_task_begins_with_a_new_optimiser() -> None:
    one = learner()
    start = copies(TaskResult(0, {}, one.parameters()))
    torch.manual_seed(3)
    first = bits(one.train(start, train()))
    torch.manual_seed(3)

    assert bits(one.train(start, train())) == first
    assert one.local_state() == {}


def test_sites_that_share_a_module_do_not_share_what_is_personal(site: Site, tmp_path: Path) -> None:
    """As the virtual sites of a simulation do whose code makes its model once for all."""
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def session(name: str, data: Any) -> PersonalSession:
        optimizer = partial(torch.optim.SGD, lr=0.5)

        def made(_: Site) -> TorchLearner:
            return TorchLearner(model, nn.CrossEntropyLoss(), optimizer, data, data, device="cpu")

        opened = at_site(made, site, tmp_path / name, ["1.*"])
        assert isinstance(opened, PersonalSession)
        opened.prepare()
        return opened

    def rounds(*sites: Session) -> list[bytes]:
        start = {name: array.copy() for name, array in sites[0].initial_parameters().items()}
        return [
            bits(one.perform(train(number), start, sequence=number))
            for number in (1, 2)
            for one in reversed(sites)
        ][-1]

    alone = rounds(session("a", (X, Y)))
    model.load_state_dict(before)

    assert rounds(session("b", (X, Y)), session("c", (X, 1 - Y))) == alone


def test_a_personal_tensor_that_is_tied_to_an_exchanged_one_gives_way_to_it(
    site: Site, tmp_path: Path
) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
            self.second.weight = self.first.weight

        def forward(self, inputs: Any) -> Any:
            return self.second(self.first(inputs))

    def tied(_: Site) -> TorchLearner:
        optimizer = partial(torch.optim.SGD, lr=0.5)
        return TorchLearner(Tied(), nn.CrossEntropyLoss(), optimizer, (X, Y), (X, Y), device="cpu")

    session = at_site(tied, site, tmp_path, ["second.weight"])
    start = {name: np.ones_like(array) for name, array in session.initial_parameters().items()}
    expected = session.perform(Task("evaluate", 1, 0), start, sequence=1).metrics
    session.perform(train(), start, sequence=2)

    assert session.perform(Task("evaluate", 1, 0), start, sequence=3).metrics == expected


def test_batch_norm_stays_at_each_site(site: Site, tmp_path: Path) -> None:
    session = at_site(lambda site: learner(), site, tmp_path, ["1.*"])
    start = session.initial_parameters()
    first = session.perform(train(1), start, sequence=1)
    after = copies(first)
    before = session.perform(Task("evaluate", 1, 0), after, sequence=2).metrics

    fresh = at_site(lambda site: learner(), site, tmp_path / "fresh", ["1.*"])

    assert not any(name.startswith("1.") for name in {**start, **after})
    assert "0.weight" in start
    assert fresh.perform(Task("evaluate", 1, 0), after, sequence=2).metrics != before


class Counting(nn.Linear):
    """Counts its calls, in a state of its own that is not a tensor."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.calls = 0

    def forward(self, inputs: Any) -> Any:
        self.calls += 1
        return super().forward(inputs)

    def get_extra_state(self) -> Any:
        return {"calls": self.calls}

    def set_extra_state(self, state: Any) -> None:
        self.calls = state["calls"]


def counting(site: Site) -> TorchLearner:
    optimizer = partial(torch.optim.SGD, lr=0.5)
    return TorchLearner(Counting(), nn.CrossEntropyLoss(), optimizer, (X, Y), (X, Y))


def test_a_state_that_is_no_tensor_may_be_personal_and_survives_a_restart(site: Site, tmp_path: Path) -> None:
    def session() -> LearnerSession:
        return LearnerSession(counting, site, tmp_path / "kept", personal=["*_extra_state"])

    def opened(inner: LearnerSession) -> PersonalSession:
        return PersonalSession(inner, ["*_extra_state"], tmp_path / "personal", inner.kept_by_learner)

    start = opened(session()).initial_parameters()
    for r in (1, 2):
        opened(session()).perform(train(r), start, sequence=r)
    last = session()
    opened(last).perform(train(3), start, sequence=3)

    assert start.keys() == {"weight", "bias"}
    assert last._learner._model.calls == 3  # type: ignore[union-attr]


def test_a_state_that_is_no_tensor_is_refused_by_name_unless_it_is_personal(
    site: Site, tmp_path: Path
) -> None:
    told = r"'_extra_state' of the model's state_dict is a dict.*`personal: \[\"_extra_state\"\]` in the plan"

    with pytest.raises(TaskError, match=told):
        LearnerSession(counting, site, tmp_path).initial_parameters()


def test_a_model_that_the_received_parameters_do_not_reach_is_not_trained() -> None:
    class Frozen(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return {f"net.{name}": value.clone() for name, value in super().state_dict().items()}

    one = TorchLearner(Frozen(2, 2), nn.CrossEntropyLoss(), torch.optim.Adam, (X, Y), (X, Y), device="cpu")
    others = {name: array + 1 for name, array in one.parameters().items()}

    for task in (train(), Task("evaluate", 1, 0)):
        with pytest.raises(UpdateError, match=r"tensor 'net\.weight' did not reach the torch model"):
            getattr(one, task.name)(others, task)


def test_an_optimiser_of_another_model_is_said_to_train_nothing() -> None:
    other = nn.Linear(2, 2)
    one = learner(optimizer=lambda parameters: torch.optim.SGD(other.parameters(), lr=0.1))

    with notices_kept() as noted:
        one.train(copies(TaskResult(0, {}, one.parameters())), train())

    assert len(noted) == 1
    assert "trained none of the model's parameters" in noted[0]


@pytest.mark.parametrize("settings", [{"lr": 0.1}, {}])
def test_training_that_trains_is_not_remarked_on(settings: Any) -> None:
    one = learner()

    with notices_kept() as noted:
        one.train(copies(TaskResult(0, {}, one.parameters())), train(**settings))

    assert noted == []


def test_a_learner_with_personal_tensors_of_its_own_is_refused_with_the_plans_line() -> None:
    with pytest.raises(PlanError, match=r'write in the plan: personal: \["head\.\*", "\*\.bn\*"\]'):
        learner(personal=["head.*", "*.bn*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": Stream()}, "train is an IterableDataset"),
        ({"validate": DataLoader(Stream())}, "validate is an IterableDataset"),
        ({"train": (X, Y[1:])}, "train has 30 inputs and 29 targets"),
        ({"train": (X, Y, torch.ones(30))}, "train has 3 parts, expected inputs and targets: weights"),
        ({"train": TensorDataset(X, Y, torch.ones(30))}, "train has 3 parts"),
        ({"train": [1, 2]}, r"train must be a Dataset, a DataLoader or two tensors .* got a list"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_the_learner_is_made(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner(**options)


def test_parameters_that_do_not_fit_are_refused() -> None:
    one = learner()
    wrong = {**one.parameters(), "0.bias": np.zeros(3, np.float32)}

    with pytest.raises(UpdateError, match=r"tensor '0\.bias' has shape \(3,\), expected \(4,\)"):
        one.train(wrong, train())


def test_a_loss_of_each_example_is_refused() -> None:
    one = TorchLearner(
        nn.Linear(2, 2), nn.CrossEntropyLoss(reduction="none"), torch.optim.Adam, (X, Y), (X, Y), device="cpu"
    )

    with pytest.raises(TaskError, match=r"loss of a batch has shape \(30,\), expected one number"):
        one.train(one.parameters(), train())


@pytest.mark.parametrize("task", [train(epoch=1), Task("evaluate", 1, 0, {"epochs": 1})])
def test_an_unknown_setting_is_refused(task: Task) -> None:
    one = learner()

    with pytest.raises(PlanError, match=f"task {task.name} has a setting 'epoch"):
        getattr(one, task.name)(one.parameters(), task)


@pytest.mark.parametrize(
    ("outputs", "targets", "expected"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 1, 1], 2 / 3),
        ([1.5, -0.5, 0.1, -3], [1, 0, 0, 0], 0.75),
        ([[1.5], [-0.5]], [[1], [1]], 0.5),
        ([[1.5], [-0.5], [-2]], [1, 1, 0], 2 / 3),
    ],
)
def test_accuracy_is_the_share_told_right(outputs: Any, targets: Any, expected: float) -> None:
    assert accuracy(torch.tensor(outputs), torch.tensor(targets)) == pytest.approx(expected)


def test_accuracy_of_shapes_that_do_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outputs of shape \(3,\) do not go with targets of shape \(3, 1\)"):
        accuracy(torch.zeros(3), torch.zeros(3, 1))
