"""The learner of a scikit-learn estimator."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.tree import DecisionTreeClassifier

from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, UpdateError
from hanse.learners.seeding import seed_generators
from hanse.learners.sklearn import SklearnLearner

pytestmark = pytest.mark.sklearn

X = np.random.default_rng(0).normal(size=(80, 3))
TWO = (X[:, 0] > 0).astype(int)
THREE = np.array(["a", "b", "c"])[X.argmax(axis=1)]
NUMBERS = X @ [1.0, -2.0, 3.0] + 4

CLASSIFIERS = [
    SGDClassifier(),
    SGDClassifier(loss="log_loss"),
    Perceptron(),
    LogisticRegression(),
    LogisticRegression(solver="newton-cg"),
    LogisticRegression(solver="saga", fit_intercept=False),
    MLPClassifier((6,), learning_rate_init=0.05),
    MLPClassifier((6,), solver="sgd", batch_size=32, learning_rate_init=0.1),
]
REGRESSORS = [
    SGDRegressor(),
    LinearRegression(),
    Ridge(),
    MLPRegressor(hidden_layer_sizes=(6,), learning_rate_init=0.1),
]


def learner(estimator: Any, y: Any, classes: Any = None) -> SklearnLearner:
    seed_generators(0)
    return SklearnLearner(estimator, (X[: len(y)], y), (X[: len(y)], y), classes)


def train(seed: int = 1, **settings: Any) -> Task:
    return Task("train", 1, seed, settings)


def bits(result: TaskResult) -> list[bytes]:
    assert result.parameters is not None
    return [array.tobytes() for array in result.parameters.values()]


def name(estimator: Any) -> str:
    return " ".join(repr(estimator).split())


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
@pytest.mark.parametrize("y", [TWO, THREE], ids=["two classes", "three classes"])
def test_a_classifier_learns_from_round_to_round(estimator: Any, y: Any) -> None:
    one = learner(estimator, y)
    parameters = one.parameters()

    for seed in range(8):
        settings = {} if isinstance(estimator, LogisticRegression) else {"batch_size": 16}
        parameters = one.train(parameters, train(seed, epochs=3, **settings)).parameters

    measured = one.evaluate(parameters, Task("evaluate", 8, 0))
    assert measured.num_examples == 80
    assert measured.metrics.keys() == {"loss", "accuracy"}
    assert measured.metrics["accuracy"] > 0.85


@pytest.mark.parametrize("estimator", REGRESSORS, ids=name)
def test_a_regressor_learns(estimator: Any) -> None:
    one = learner(estimator, NUMBERS)
    parameters = one.parameters()
    settings = {"epochs": 60} if hasattr(estimator, "partial_fit") else {}

    result = one.train(parameters, train(**settings))

    assert result.metrics.keys() == {"loss", "r2"}
    assert result.metrics["r2"] > 0.9


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_a_task_done_again_gives_the_same_bits(estimator: Any) -> None:
    y = TWO if estimator in CLASSIFIERS else NUMBERS
    one, two = learner(clone(estimator), y), learner(clone(estimator), y)
    first = one.train(one.parameters(), train())

    assert bits(one.train(one.parameters(), train())) == bits(first)
    assert bits(two.train(two.parameters(), train())) == bits(first)
    assert {k: (v.shape, v.dtype) for k, v in first.parameters.items()} == {
        k: (v.shape, v.dtype) for k, v in one.parameters().items()
    }


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_a_site_without_an_example_of_a_class_has_the_same_model(estimator: Any) -> None:
    everywhere = learner(estimator, THREE)
    here = learner(estimator, THREE[THREE == "b"], classes=["c", "b", "a"])

    result = here.train(everywhere.parameters(), train())

    assert {name: array.tobytes() for name, array in here.parameters().items()} == {
        name: array.tobytes() for name, array in everywhere.parameters().items()
    }
    assert all(np.isfinite(array).all() for array in result.parameters.values())
    assert result.metrics["loss"] < here.evaluate(here.parameters(), Task("evaluate", 1, 0)).metrics["loss"]


def test_the_first_linear_model_is_zero_and_the_first_network_scikit_learns_own() -> None:
    linear = learner(SGDClassifier(), THREE).parameters()
    network = learner(MLPClassifier((5,), random_state=3), THREE).parameters()

    own = MLPClassifier((5,), random_state=3).partial_fit(X, THREE, classes=["a", "b", "c"])
    assert {name: array.shape for name, array in linear.items()} == {"coef_": (3, 3), "intercept_": (3,)}
    assert not any(array.any() for array in linear.values())
    # One step of Adam moves no weight by more than the learning rate.
    assert list(network) == ["coefs_0", "coefs_1", "intercepts_0", "intercepts_1"]
    np.testing.assert_allclose(network["coefs_0"], own.coefs_[0], atol=0.0011)
    assert network["coefs_0"].any()


@pytest.mark.parametrize("y", [NUMBERS, np.stack([NUMBERS, -NUMBERS], axis=1)], ids=["one", "two targets"])
def test_targets_may_be_several(y: Any) -> None:
    one = learner(LinearRegression(), y)

    result = one.train(one.parameters(), train())

    assert result.parameters["intercept_"].shape == y.shape[1:]
    assert result.metrics["loss"] < 1e-9


def test_batches_and_lr_are_plain_gradient_descent() -> None:
    one = learner(SGDRegressor(penalty=None), NUMBERS)
    result = one.train(one.parameters(), train(batches=1, batch_size=1, lr=0.01))

    # From zero, the step is along the one example, by the learning rate times the error.
    steps = result.parameters["coef_"] / (0.01 * NUMBERS[:, None] * X)
    assert np.isclose(steps, 1).all(axis=1).sum() == 1


def test_lr_of_a_network_takes_the_place_of_its_own() -> None:
    fast = learner(MLPClassifier((5,), learning_rate_init=0.5), TWO)
    slow = learner(MLPClassifier((5,), learning_rate_init=0.001), TWO)

    assert bits(slow.train(slow.parameters(), train(lr=0.5))) == bits(fast.train(fast.parameters(), train()))


def test_epochs_of_logistic_regression_go_on_from_what_was_received() -> None:
    one = learner(LogisticRegression(C=10), TWO)
    first = one.train(one.parameters(), train(epochs=2))
    second = one.train(first.parameters, train(epochs=2))

    assert second.metrics["loss"] < first.metrics["loss"] < np.log(2)


def test_a_site_without_examples_gives_back_what_it_got() -> None:
    one = SklearnLearner(SGDClassifier(), (X[:0], TWO[:0]), (X[:0], TWO[:0]), classes=[0, 1])
    start = {"coef_": np.ones((1, 3)), "intercept_": np.ones(1)}

    result = one.train(start, train())

    assert (result.num_examples, result.metrics) == (0, {})
    assert bits(result) == [array.tobytes() for array in start.values()]


def test_the_estimator_given_is_left_alone() -> None:
    estimator = SGDClassifier()
    one = learner(estimator, TWO)
    one.train(one.parameters(), train())

    assert not hasattr(estimator, "coef_")


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (
            DecisionTreeClassifier(),
            r"cannot federate DecisionTreeClassifier; it can federate SGDClassifier, ",
        ),
        (LogisticRegressionCV(), "cannot federate LogisticRegressionCV"),
        (SGDClassifier(average=True), r"SGDClassifier\(average=\.\.\.\) cannot be federated"),
        (LogisticRegression(solver="liblinear"), r"solver='liblinear'\) cannot start from given weights"),
        (SGDClassifier(early_stopping=True), "early_stopping"),
    ],
)
def test_an_estimator_that_cannot_be_federated_is_refused(estimator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner(estimator, TWO)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (TWO, [0, 2], r"labels that are not among the classes: \[1\]"),
        (TWO * 0, None, r"needs two classes, got \[0\]"),
        (TWO[:, None][:0], [0, 1], "train has inputs of shape"),
    ],
)
def test_data_that_do_not_go_together_are_refused(y: Any, classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SklearnLearner(SGDClassifier(), (X, y), (X, y), classes)


def test_parameters_that_do_not_fit_are_refused() -> None:
    one = learner(SGDClassifier(), TWO)

    with pytest.raises(UpdateError, match=r"do not fit SGDClassifier: tensor 'coef_' has shape \(1, 4\)"):
        one.train({**one.parameters(), "coef_": np.zeros((1, 4))}, train())


@pytest.mark.parametrize(
    ("estimator", "task"),
    [
        (LinearRegression(), train(epochs=2)),
        (LogisticRegression(), train(batch_size=2)),
        (SGDClassifier(), train(epoch=2)),
        (SGDClassifier(), Task("evaluate", 1, 0, {"batch_size": 2})),
    ],
    ids=name,
)
def test_an_unknown_setting_is_refused(estimator: Any, task: Task) -> None:
    one = learner(estimator, TWO)

    with pytest.raises(PlanError, match=f"task {task.name} has a setting '{next(iter(task.settings))}'"):
        getattr(one, task.name)(one.parameters(), task)
