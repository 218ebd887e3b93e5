"""What every learner promises, driven as a site drives it."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from hanse.core.values.parameters import Parameters, specs
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import HanseError, TaskError
from hanse.learners.base import Learner, Session
from hanse.learners.script import ScriptSession
from hanse.learners.session import LearnerSession

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int64)

SCRIPT = """
import numpy as np
import hanse

random = np.random.default_rng(0)
x = random.normal(size=(40, 3)).astype(np.float32)
y = (x.sum(axis=1) > 0).astype(np.int64)
model = {"weight": np.zeros(3, np.float32), "bias": np.zeros((), np.float32)}
momentum = {"weight": np.zeros(3, np.float32), "bias": np.zeros((), np.float32)}
for round in hanse.rounds(model, keep={"momentum": momentum}):
    chosen = np.random.permutation(40)[:30]
    score = x @ model["weight"] + model["bias"]
    error = 1 / (1 + np.exp(-score)) - y
    momentum["weight"] = 0.9 * momentum["weight"] + error[chosen] @ x[chosen] / 30
    momentum["bias"] = 0.9 * momentum["bias"] + error[chosen].mean()
    model["weight"] -= momentum["weight"]
    model["bias"] -= momentum["bias"]
    round.report(examples=40, loss=np.mean(np.logaddexp(0, score) - score * y))
"""


class NumpyLearner:
    """Logistic regression by hand, with momentum that stays at the site."""

    def __init__(self) -> None:
        self._momentum = {"weight": np.zeros(3, np.float32), "bias": np.zeros((), np.float32)}

    def parameters(self) -> Parameters:
        return {"weight": np.zeros(3, np.float32), "bias": np.zeros((), np.float32)}

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        chosen = np.random.permutation(40)[:30]
        error = 1 / (1 + np.exp(-self._score(parameters))) - Y
        slope = {"weight": error[chosen] @ X[chosen] / 30, "bias": error[chosen].mean()}
        self._momentum = {
            name: np.asarray(0.9 * old + slope[name], np.float32) for name, old in self._momentum.items()
        }
        trained = {name: array - self._momentum[name] for name, array in parameters.items()}
        return TaskResult(40, {"loss": self._loss(parameters)}, trained)

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        return TaskResult(40, {"loss": self._loss(parameters)})

    def local_state(self) -> Mapping[str, Parameters]:
        return {"momentum": self._momentum}

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        self._momentum = {name: np.array(array) for name, array in state["momentum"].items()}

    def _score(self, parameters: Parameters) -> np.ndarray:
        return X @ parameters["weight"] + parameters["bias"]

    def _loss(self, parameters: Parameters) -> float:
        score = self._score(parameters)
        return float(np.mean(np.logaddexp(0, score) - score * Y))


def torch_learner() -> Learner:
    import torch

    from hanse.learners.torch import TorchLearner

    data = (torch.from_numpy(X), torch.from_numpy(Y))
    return TorchLearner(
        torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 2)),
        torch.nn.CrossEntropyLoss(),
        functools.partial(torch.optim.Adam, lr=0.05),
        data,
        data,
        device="cpu",
        keep_optimizer=True,
    )


def sklearn_learner() -> Learner:
    from sklearn.neural_network import MLPClassifier

    from hanse.learners.sklearn import SklearnLearner

    return SklearnLearner(MLPClassifier((4,), learning_rate_init=0.05), (X, Y), (X, Y))


Open = Callable[..., Session]
LEARNERS = {"numpy": NumpyLearner, "torch": torch_learner, "sklearn": sklearn_learner}


@pytest.fixture(
    params=[
        "numpy",
        "script",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ]
)
def open_session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a session of the learner at a site, as a process that starts there would."""
    opened: list[Session] = []
    script = tmp_path / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def open_one(name: str = "north") -> Session:
        site = Site(name, DataSources(name, {}), seed=11)
        state = tmp_path / "state" / name
        opened.append(
            ScriptSession(script, site, state)
            if request.param == "script"
            else LearnerSession(lambda site: LEARNERS[request.param](), site, state)
        )
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def train(session: Session, parameters: Parameters, round_number: int) -> TaskResult:
    task = Task("train", round_number, seed=1000 + round_number)
    return session.perform(task, parameters, sequence=2 * round_number)


def copies(parameters: Parameters | None) -> dict[str, np.ndarray]:
    assert parameters is not None
    return {name: array.copy() for name, array in parameters.items()}


def bits(parameters: Parameters | None) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in copies(parameters).items()}


def rounds(session_of: Callable[[], Session], count: int = 4) -> list[dict[str, bytes]]:
    """Train round by round, each from what the one before gave."""
    parameters = session_of().initial_parameters()
    trained = []
    for round_number in range(1, count + 1):
        parameters = copies(train(session_of(), parameters, round_number).parameters)
        trained.append(bits(parameters))
    return trained


def test_every_site_begins_with_the_same_model(open_session: Open) -> None:
    assert bits(open_session("north").initial_parameters()) == bits(
        open_session("south").initial_parameters()
    )


def test_training_gives_back_the_model_it_got_in_name_shape_and_dtype(open_session: Open) -> None:
    session = open_session()
    start = session.initial_parameters()

    result = train(session, start, 1)

    assert result.num_examples == 40
    assert type(result.metrics["loss"]) is float
    assert result.parameters is not None
    assert specs(result.parameters) == specs(start)
    assert bits(result.parameters) != bits(start)


def test_what_it_got_is_not_changed(open_session: Open) -> None:
    session = open_session()
    start = session.initial_parameters()
    before = bits(start)

    train(session, start, 1)
    train(session, start, 2)

    assert bits(start) == before


def test_training_learns(open_session: Open) -> None:
    session = open_session()
    parameters = session.initial_parameters()
    losses = []

    for round_number in range(1, 9):
        result = train(session, parameters, round_number)
        losses.append(result.metrics["loss"])
        parameters = copies(result.parameters)

    assert losses[-1] < 0.8 * losses[0]


def test_rounds_give_the_same_bits_on_every_site_with_the_same_data(open_session: Open) -> None:
    north, south = open_session("north"), open_session("south")

    assert rounds(lambda: north) == rounds(lambda: south)


def test_a_task_performed_again_gives_the_same_bits(open_session: Open) -> None:
    session = open_session()
    start = session.initial_parameters()
    train(session, start, 1)
    first = bits(train(session, start, 2).parameters)

    assert bits(train(session, start, 2).parameters) == first


def test_a_process_that_starts_in_every_round_gives_the_bits_of_one_that_stays(open_session: Open) -> None:
    stays = open_session("north")

    assert rounds(lambda: open_session("south")) == rounds(lambda: stays)


def test_a_failed_task_leaves_no_trace(open_session: Open) -> None:
    undisturbed, disturbed = open_session("north"), open_session("south")
    start = undisturbed.initial_parameters()
    train(undisturbed, start, 1)
    train(disturbed, start, 1)

    with pytest.raises(HanseError):
        train(disturbed, {"wrong": np.zeros(1)}, 2)

    again = train(disturbed, start, 2)
    assert bits(again.parameters) == bits(train(undisturbed, start, 2).parameters)


def test_a_task_that_it_lacks_is_refused_with_those_it_has(open_session: Open) -> None:
    session = open_session()

    with pytest.raises(TaskError, match=r"no task 'segment'.*train"):
        session.perform(Task("segment", 1, 0), session.initial_parameters(), sequence=1)


@pytest.mark.parametrize(
    "name",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_evaluation_measures_and_changes_nothing(name: str, tmp_path: Path) -> None:
    session = LearnerSession(lambda site: LEARNERS[name](), Site("north", DataSources("north", {})), tmp_path)
    start = session.initial_parameters()
    task = Task("evaluate", 1, seed=3)

    one, two = (session.perform(task, start, sequence=sequence) for sequence in (1, 2))

    assert (one.num_examples, one.parameters) == (40, None)
    assert one.metrics == two.metrics
    assert one.metrics["loss"] > 0
