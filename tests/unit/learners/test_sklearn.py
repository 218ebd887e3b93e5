"""The learner of a scikit-learn estimator."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
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
from hanse.learners.agreement import Agreement
from hanse.learners.notices import notices_kept
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


@pytest.mark.parametrize("settings", [{}, {"epochs": 2}, {"batches": 3, "batch_size": 30}], ids=str)
def test_a_learning_rate_that_falls_falls_on_from_round_to_round(settings: dict[str, Any]) -> None:
    federated = learner(SGDClassifier(loss="log_loss"), TWO)
    parameters = federated.parameters()
    for number in range(1, 5):
        result = federated.train(parameters, Task("train", number, number, settings))
        parameters = result.parameters or {}

    alone = SGDClassifier(loss="log_loss")
    for number in range(1, 5):
        alone.set_params(random_state=number)
        for chosen in batches_of(number, **settings):
            alone.partial_fit(X[chosen], TWO[chosen], classes=[0, 1])
    assert np.array_equal(parameters["coef_"], alone.coef_)


def batches_of(seed: int, epochs: int = 1, batches: int = 0, batch_size: int = len(X)) -> list[Any]:
    """What a task with these settings hands over, in its order."""
    order, parts = np.random.default_rng(seed), []
    while len(parts) < (batches or epochs):
        chosen = order.permutation(len(X))
        parts += [chosen[begin : begin + batch_size] for begin in range(0, len(X), batch_size)]
    return parts[:batches] if batches else parts


def test_a_site_that_was_not_asked_for_a_while_does_not_leap() -> None:
    federated = learner(SGDClassifier(loss="log_loss"), TWO)
    first = federated.train(federated.parameters(), Task("train", 1, 1)).parameters or {}

    late = federated.train(first, Task("train", 200, 1)).parameters or {}

    assert np.abs(late["coef_"] - first["coef_"]).max() < 0.1 * np.abs(first["coef_"]).max()


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


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_an_example_of_weight_0_teaches_nothing_and_is_not_counted(estimator: Any) -> None:
    y = TWO if estimator in CLASSIFIERS else NUMBERS
    wrong = np.concatenate([y[:40], y[::-1][:40]])
    weight = np.repeat([1.0, 0.0], 40)

    def trained(weights: Any) -> TaskResult:
        seed_generators(0)
        data = (X, wrong) if weights is None else (X, wrong, weights)
        one = SklearnLearner(clone(estimator), data, (X, y, weight))
        return one.train(one.parameters(), train())

    assert bits(trained(weight)) != bits(trained(None))
    assert bits(trained(np.ones(80))) == bits(trained(None))
    assert trained(weight).num_examples == 40
    assert trained(weight).metrics != trained(None).metrics


def test_metrics_are_weighted() -> None:
    right, wrong = np.ones(80), np.r_[np.ones(79), 1000.0]
    parameters = {"coef_": np.array([[10.0, 0, 0]]), "intercept_": np.zeros(1)}
    y = np.r_[TWO[:79], 1 - TWO[79]]

    accuracies = []
    for weight in (right, wrong):
        one = SklearnLearner(SGDClassifier(), (X, TWO), (X, y, weight))
        accuracies.append(one.evaluate(parameters, Task("evaluate", 1, 0)).metrics["accuracy"])

    assert accuracies == pytest.approx([79 / 80, 79 / 1079])


def test_an_estimator_that_ignores_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MLPClassifier, "partial_fit", lambda self, X, y, classes=None: self)

    with pytest.raises(
        ValueError, match=r"train has a sample_weight, and MLPClassifier\.partial_fit of this .* takes none"
    ):
        SklearnLearner(MLPClassifier((4,)), (X, TWO, np.ones(80)), (X, TWO))


def test_balanced_classes_are_those_that_are_here() -> None:
    """scikit-learn's own weights are not finite where a class has no example, and nothing is learned."""
    y = np.where(X[:, 0] > 1, 1, 0)
    here = learner(LogisticRegression(class_weight="balanced"), y, classes=[0, 1, 2])
    weights = np.where(y == 1, 80 / (2 * (y == 1).sum()), 80 / (2 * (y == 0).sum()))
    by_hand = SklearnLearner(LogisticRegression(), (X, y, weights), (X, y), classes=[0, 1, 2])

    result = here.train(here.parameters(), train(epochs=5))

    np.testing.assert_allclose(
        result.parameters["coef_"], by_hand.train(by_hand.parameters(), train(epochs=5)).parameters["coef_"]
    )
    assert np.abs(result.parameters["coef_"]).sum() > 0.1


def test_balanced_classes_are_those_whose_examples_have_weight() -> None:
    y = np.where(X[:, 0] > 1, 1, 0)
    y[:3] = 2
    weight = np.where(y == 2, 0.0, 1.0)
    estimator = LogisticRegression(class_weight="balanced")
    with_them = SklearnLearner(estimator, (X, y, weight), (X, y), classes=[0, 1, 2])
    without = SklearnLearner(estimator, (X[3:], y[3:]), (X, y), classes=[0, 1, 2])

    results = [one.train(one.parameters(), train(epochs=5)).parameters for one in (with_them, without)]

    np.testing.assert_allclose(results[0]["coef_"], results[1]["coef_"], atol=1e-9)
    assert np.abs(results[0]["coef_"]).sum() > 0.1


def test_labels_in_a_column_are_labels() -> None:
    column, flat = learner(SGDClassifier(), TWO[:, None]), learner(SGDClassifier(), TWO)

    assert bits(column.train(column.parameters(), train())) == bits(flat.train(flat.parameters(), train()))


@pytest.mark.parametrize(
    "estimator", [SGDRegressor(), MLPRegressor(hidden_layer_sizes=(6,))], ids=lambda e: type(e).__name__
)
def test_targets_in_a_column_are_what_they_are_in_a_row(estimator: Any) -> None:
    row, column = learner(estimator, NUMBERS), learner(estimator, NUMBERS[:, None])

    trained = [one.train(one.parameters(), train()).parameters or {} for one in (row, column)]

    assert all(np.array_equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_sparse_inputs_are_refused_with_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"train has a sparse part \(csr_array\).* give its toarray\(\)"):
        SklearnLearner(SGDClassifier(), (csr_array(X), TWO), (X, TWO))


def test_several_targets_are_refused_where_one_is_learnt() -> None:
    with pytest.raises(ValueError, match=r"SGDRegressor learns one target .* shape \(80, 2\)"):
        learner(SGDRegressor(), np.stack([NUMBERS, NUMBERS], axis=1))


def test_training_that_changes_nothing_has_converged() -> None:
    one = learner(LinearRegression(), NUMBERS)
    first = one.train(one.parameters(), train())

    assert (first.converged, one.train(first.parameters, train()).converged) == (False, True)


class Frame:
    """A data frame, as far as it is looked at here."""

    def __init__(self, columns: Any) -> None:
        self.columns = columns

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return X.astype(dtype)


@pytest.mark.parametrize(
    ("columns", "features"),
    [(["b", "a", "c"], ("b", "a", "c")), ([2, 0, 1], ("2", "0", "1")), (range(3), None)],
)
def test_the_names_of_columns_have_to_be_agreed_on(columns: Any, features: Any) -> None:
    one = SklearnLearner(Ridge(), (Frame(columns), NUMBERS), (Frame(columns), NUMBERS))

    assert one.agreement() == Agreement(None, features, frozenset({"labels", "features"}))


def test_training_data_and_held_out_data_have_the_same_columns() -> None:
    with notices_kept() as noted, pytest.raises(ValueError, match="train and validate have other columns"):
        SklearnLearner(Ridge(), (Frame(["a", "b", "c"]), NUMBERS), (Frame(["b", "a", "c"]), NUMBERS))

    assert noted == ["columns of train: ('a', 'b', 'c'), of validate: ('b', 'a', 'c')"]


def test_labels_are_named_in_the_sites_log_alone() -> None:
    with notices_kept() as noted, pytest.raises(ValueError, match="not among the classes") as caught:
        learner(SGDClassifier(), THREE, classes=["a", "b"])

    assert "'c'" not in str(caught.value)
    assert noted == ["labels that are not among the classes ['a', 'b']: ['c']"]


@pytest.mark.parametrize(
    ("classes", "compared"),
    [(None, True), ([0, 1], False), ((0, 1), False), (np.array([0, 1]), True), (sorted(set(TWO)), True)],
    ids=["found", "list", "tuple", "array", "made of an array"],
)
def test_labels_that_come_from_data_have_to_be_agreed_on(classes: Any, compared: bool) -> None:
    agreement = learner(SGDClassifier(), TWO, classes).agreement()

    assert agreement.labels == (0, 1)
    assert ("labels" in agreement.from_data) is compared


def test_labels_that_were_listed_from_data_are_compared_too() -> None:
    y = np.where(TWO == 1, "ill", "well")

    agreement = learner(SGDClassifier(), y, sorted(set(y.tolist()))).agreement()

    assert "labels" in agreement.from_data


def test_the_columns_of_several_targets_are_agreed_on() -> None:
    data, swapped = (
        (X, Frame(["systolic", "diastolic", "pulse"])),
        (X, Frame(["pulse", "systolic", "diastolic"])),
    )
    one = SklearnLearner(Ridge(), data, data)

    assert one.agreement().labels == ("systolic", "diastolic", "pulse")
    with pytest.raises(ValueError, match="other columns of targets, or the same in another order"):
        SklearnLearner(Ridge(), data, swapped)


@pytest.mark.parametrize("only", [0, 1])
def test_the_hinge_loss_of_a_site_with_one_class_is_that_of_its_class(only: int) -> None:
    here = only == TWO
    one = SklearnLearner(SGDClassifier(), (X, TWO), (X[here], TWO[here]), [0, 1])
    parameters = {"coef_": np.zeros((1, X.shape[1])), "intercept_": np.array([5.0])}

    loss = one.evaluate(parameters, Task("evaluate", 1, 0)).metrics["loss"]

    assert loss == (6.0 if only == 0 else 0.0)


def test_no_weights_may_be_said_as_none() -> None:
    one = SklearnLearner(SGDClassifier(), (X, TWO, None), (X, TWO))

    assert one.train(one.parameters(), train()).num_examples == len(TWO)


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
        (TWO, [0, 2], "labels that are not among the classes"),
        (TWO * 0, None, "needs two classes, and the data have fewer"),
        (TWO[:, None][:0], [0, 1], "train has inputs of shape"),
        (np.stack([TWO, TWO], axis=1), [0, 1], "train has inputs of shape"),
        (np.ma.array(TWO, mask=TWO), [0, 1], "train has masked numbers"),
    ],
)
def test_data_that_do_not_go_together_are_refused(y: Any, classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SklearnLearner(SGDClassifier(), (X, y), (X, y), classes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X,), r"train must be .* got a tuple of 1 parts"),
        ((X, TWO, np.ones(80), X), "got a tuple of 4 parts"),
        (X, "got a ndarray"),
        ((X, TWO, np.ones(79)), r"a sample_weight of shape \(79,\), expected \(80,\)"),
        ((X, TWO, -np.ones(80)), "numbers that are not finite, or below 0"),
        ((X, TWO, np.full(80, np.nan)), "numbers that are not finite"),
        ((np.ma.masked_less(X, 0), TWO), "train has masked numbers"),
        ((X + 1j, TWO), "train has complex numbers"),
    ],
)
def test_data_of_another_form_are_refused_by_name(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SklearnLearner(SGDClassifier(), data, (X, TWO))


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
