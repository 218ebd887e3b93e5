"""A learner from a scikit-learn estimator: linear models and multi-layer perceptrons."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.metrics import accuracy_score, hinge_loss, log_loss, mean_squared_error, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from hanse.core.values.parameters import Array, Parameters, mismatch, specs
from hanse.core.values.update import Task, TaskResult
from hanse.errors import UpdateError
from hanse.learners.adapters.sklearn_data import Data, Examples, checked_examples, joined
from hanse.learners.adapters.written import are_written
from hanse.learners.agreement import FEATURES, LABELS, Agreement, plain
from hanse.learners.notices import notice
from hanse.learners.read_back import check_arrived, difference
from hanse.learners.schedule import Schedule, batch_sizes

_BY_BATCH = (SGDClassifier, SGDRegressor, Perceptron, MLPClassifier, MLPRegressor)
_BY_ITERATION = (LogisticRegression,)
_AT_ONCE = (LinearRegression, Ridge)
_MLPS = (MLPClassifier, MLPRegressor)

# Too small a step to change any weight: what a network is initialised to is kept.
_NO_STEP = 1e-300


class SklearnLearner:
    """Trains and evaluates a scikit-learn estimator at one site.

    What is exchanged, float64: `coef_` and `intercept_` of linear models, which start from zeros;
    `coefs_0`, `intercepts_0`, ... of perceptrons, which start from the estimator's own initialisation by its
    `random_state` (where that is None, by NumPy's global generator, which is seeded alike at every site).
    The estimator given is not changed. `train` understands, depending on the estimator,

    - `SGDClassifier`, `SGDRegressor`, `Perceptron`, `MLPClassifier`, `MLPRegressor`: `epochs`, passes over
      the training data, 1 unless given; `batches`, so many batches instead; `batch_size`, examples that are
      handed over at a time, unless given a whole pass, and `last_batch`, `keep`, `drop` or `merge`, what
      becomes of the last ones of a pass where they are fewer; `lr`, a constant learning rate in place of the
      estimator's own;
    - `LogisticRegression`: `epochs`, iterations of its solver, 1 unless given, starting from what was
      received;
    - `LinearRegression`, `Ridge`: nothing; they are solved for the site's data, whatever was received.

    Every task begins with the estimator as it was given, so that a task done again gives the same bits;
    its `random_state` in the task comes from the task's seed. A learning rate of the estimator's own that
    falls with the steps (`optimal`, the default of `SGDClassifier`, and `invscaling`) continues to fall from
    round to round: a task of round 5 counts the steps of four such tasks before it. The metric `loss` is, of
    classifiers, the log loss in nats, or the hinge loss where the estimator gives no probabilities, and of
    regressors the mean squared error; the others are `accuracy` and `r2`.

    Sites have to have the same labels, and the same features in the same order. Labels that were found in the
    data, and the names of a data frame's columns, are compared with what the plan states (`labels`,
    `features`), or else with the first model's; a site that has others refuses to train.

    Args:
        estimator: One of the above.
        train: Inputs, shape (examples, features), targets, shape (examples,), and perhaps a weight for each
            example, shape (examples,), where the estimator takes a `sample_weight`; losses and metrics are
            weighted too.
        validate: The same, held out.
        classes: All labels that occur at any site, the same at every site; may be left out only where
            every site has an example of each. A list that stands in the plan's code, which all sites have,
            is not compared; what was made of data is, as labels found in the data are.

    Raises:
        ValueError: The estimator is another, or cannot be trained so; shapes that do not go together; a
            label that is not among `classes`; or masked numbers.
    """

    def __init__(
        self, estimator: Any, train: Data, validate: Data, classes: npt.ArrayLike | None = None
    ) -> None:
        _check_supported(estimator)
        self._classifies = is_classifier(estimator)
        kind: dict[str, bool] = {"labels": self._classifies, "column": isinstance(estimator, _AT_ONCE)}
        self._train = checked_examples(train, "train", **kind)
        self._validate = checked_examples(validate, "validate", **kind)
        _check_targets(estimator, self._train)
        _check_weights(estimator, self._train)
        for kinds, of_train, of_validate in (
            ("columns", self._train.features, self._validate.features),
            ("columns of targets", self._train.targets, self._validate.targets),
        ):
            if of_train != of_validate:
                notice(f"{kinds} of train: {of_train}, of validate: {of_validate}")
                raise ValueError(f"train and validate have other {kinds}, or the same in another order")
        if self._classifies:
            self._classes = self._checked_classes(classes)
        self._written = self._classifies and are_written(classes)
        self._estimator = self._fitted_to_nothing(estimator)

    def agreement(self) -> Agreement:
        """The labels in the order of the estimator, and the names of the columns of a data frame.

        Of a regressor with several targets, the names of their columns are its labels.
        """
        return Agreement(
            plain(self._classes) if self._classifies else self._train.targets,
            self._train.features,
            frozenset({FEATURES} if self._written else {LABELS, FEATURES}),
        )

    def parameters(self) -> dict[str, Array]:
        """The first model: the learner itself keeps none from task to task."""
        return _parameters(self._estimator)

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train on the site's data.

        Returns:
            The trained parameters, the number of examples, and the metrics on the training data after
            training.

        Raises:
            PlanError: A setting that the estimator does not know.
            UpdateError: `parameters` do not fit the estimator.
        """
        schedule = Schedule.of(task, known=_settings(self._estimator))
        estimator = self._with(parameters)
        if self._train.count:
            with warnings.catch_warnings():
                # A round is not meant to converge; and the last batch of a pass may be small.
                warnings.simplefilter("ignore", ConvergenceWarning)
                warnings.filterwarnings("ignore", message="Got `batch_size`", category=UserWarning)
                self._fit(estimator, schedule, task)
        trained = _parameters(estimator)
        return TaskResult(
            self._train.count,
            self._metrics(estimator, self._train),
            trained,
            # Of what is solved at once, or makes no mistake any more, nothing changes.
            converged=not difference(trained, parameters),
        )

    def pooled(self, others: Sequence[SklearnLearner]) -> SklearnLearner:
        """See `hanse.learners.base.PoolingLearner`.

        Raises:
            ValueError: Another learner has other labels or features.
        """
        if any(other.agreement() != self.agreement() for other in others):
            raise ValueError("data of learners with other labels or features cannot be pooled")
        both = copy.copy(self)
        both._train = joined([self._train, *(other._train for other in others)])
        return both

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        """Measure on the held-out data.

        Raises:
            PlanError: The task has settings; there are none.
            UpdateError: `parameters` do not fit the estimator.
        """
        Schedule.of(task, known=())
        held_out = self._validate
        return TaskResult(held_out.count, self._metrics(self._with(parameters), held_out))

    def _fit(self, estimator: Any, schedule: Schedule, task: Task) -> None:
        x, y, weights, seed = self._train.x, self._train.y, self._train.weights, task.seed
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed % 2**32)
        if isinstance(estimator, _BY_BATCH):
            if schedule.lr is not None:
                estimator.set_params(**_learning_rate(estimator, schedule.lr))
            if schedule.batch_size is not None and isinstance(estimator, _MLPS):
                estimator.set_params(batch_size=schedule.batch_size)
            # A learning rate that falls with the steps continues to fall from round to round. The number of
            # steps follows from the round, so that a site that was not asked for a while makes no leap.
            estimator.t_ += (task.round_number - 1) * schedule.examples(len(y))
            shuffler = np.random.default_rng(seed)
            for batch in schedule.repeat(lambda: _batches(len(y), schedule, shuffler)):
                estimator.partial_fit(x[batch], y[batch], **weights(batch))
        elif isinstance(estimator, _BY_ITERATION):
            estimator.set_params(warm_start=True, max_iter=schedule.epochs)
            self._fit_all_classes(estimator)
        else:
            estimator.fit(x, y, **weights())

    def _fit_all_classes(self, estimator: Any) -> None:
        """Fit with a blank example of weight 0 of each class without one: `fit` takes no `classes`."""
        x, y, weight = self._train.x, self._train.y, self._train.weight
        weight = np.ones(len(y)) if weight is None else weight
        missing = np.setdiff1d(self._classes, y)
        if estimator.get_params().get("class_weight") == "balanced":
            classes, place = np.unique(y, return_inverse=True)
            of_class = np.bincount(place, weight, minlength=len(classes))
            taught = of_class > 0
            if taught.sum() < len(self._classes):
                # scikit-learn would divide by the weight of the classes that teach nothing here.
                estimator.set_params(class_weight=None)
                balanced = np.divide(weight.sum() / taught.sum(), of_class, where=taught, out=0 * of_class)
                weight = weight * balanced[place]
        estimator.fit(
            np.concatenate([x, np.zeros((len(missing), x.shape[1]))]),
            np.concatenate([y, missing]),
            np.concatenate([weight, np.zeros(len(missing))]),
        )

    def _fitted_to_nothing(self, estimator: Any) -> Any:
        """A copy of the estimator with all that fitting sets up, as if it had not learnt anything."""
        fitted = clone(estimator)
        y = self._classes if self._classifies else np.zeros((1, *self._train.y.shape[1:]))
        x = np.ones((len(y), self._train.x.shape[1]))
        if isinstance(estimator, _MLPS):
            fitted.set_params(learning_rate_init=_NO_STEP, batch_size="auto")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            if isinstance(estimator, _BY_BATCH):
                fitted.partial_fit(x, y, **({"classes": y} if self._classifies else {}))
            else:
                fitted.fit(x, y)
        fitted.set_params(**estimator.get_params())
        if isinstance(estimator, _BY_BATCH):
            fitted.t_ = 0 if isinstance(estimator, _MLPS) else 1.0  # no steps taken yet
        if isinstance(estimator, _MLPS):
            del fitted._optimizer  # scikit-learn makes a new one where there is none
        else:
            fitted.coef_ = np.zeros_like(fitted.coef_)
            fitted.intercept_ = np.zeros_like(fitted.intercept_)
        return fitted

    def _with(self, parameters: Parameters) -> Any:
        """A copy of the estimator with these parameters."""
        if problem := mismatch(specs(parameters), specs(_parameters(self._estimator))):
            raise UpdateError(
                f"the parameters do not fit {type(self._estimator).__name__}: {problem}",
                mend="Every site needs the same features and the same `classes`.",
            )
        estimator = copy.deepcopy(self._estimator)
        if isinstance(estimator, _MLPS):
            for kind in ("coefs", "intercepts"):
                layers = range(len(getattr(estimator, f"{kind}_")))
                setattr(estimator, f"{kind}_", [np.array(parameters[f"{kind}_{layer}"]) for layer in layers])
        else:
            estimator.coef_ = np.array(parameters["coef_"])
            estimator.intercept_ = np.array(parameters["intercept_"])
        check_arrived(_parameters(estimator), parameters, f"the {type(estimator).__name__}", {})
        return estimator

    def _metrics(self, estimator: Any, examples: Examples) -> dict[str, float]:
        if not examples.count:
            return {}
        x, y, weights = examples.x, examples.y, examples.weights()
        if not self._classifies:
            predicted = estimator.predict(x)
            metrics = {"loss": mean_squared_error(y, predicted, **weights)}
            # Of a single example there is no variance to explain.
            return metrics if examples.count < 2 else {**metrics, "r2": r2_score(y, predicted, **weights)}
        if hasattr(estimator, "predict_proba"):
            loss = log_loss(y, estimator.predict_proba(x), labels=self._classes, **weights)
        else:
            loss = self._hinge(y, estimator.decision_function(x), weights)
        accuracy = accuracy_score(y, estimator.predict(x), **weights)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _hinge(self, y: Array, decision: Array, weights: dict[str, Array]) -> float:
        if len(self._classes) > 2:
            return float(hinge_loss(y, decision, labels=self._classes, **weights))
        # scikit-learn takes the only class of these examples for the first one.
        margin = np.where(y == self._classes[1], decision, -decision)
        return float(np.average(np.maximum(0.0, 1.0 - margin), weights=weights.get("sample_weight")))

    def _checked_classes(self, classes: npt.ArrayLike | None) -> Array:
        found = np.union1d(self._train.y, self._validate.y)
        known = found if classes is None else np.unique(np.asarray(classes))
        strange = np.setdiff1d(found, known)
        # An error may travel to others; what the labels are is for the site's own log.
        if len(strange):
            notice(f"labels that are not among the classes {known.tolist()}: {strange[:5].tolist()}")
            raise ValueError("the data have labels that are not among the classes")
        if len(known) < 2:
            notice(f"labels of all examples: {known.tolist()}")
            raise ValueError("a classifier needs two classes, and the data have fewer: give all as `classes`")
        return known


def _check_supported(estimator: Any) -> None:
    # By exact type: a subclass may well keep its parameters elsewhere, as LogisticRegressionCV does.
    supported = (*_BY_BATCH, *_BY_ITERATION, *_AT_ONCE)
    name = type(estimator).__name__
    if type(estimator) not in supported:
        names = ", ".join(known.__name__ for known in supported)
        raise ValueError(f"SklearnLearner cannot federate {name}; it can federate {names}")
    params = estimator.get_params()
    if params.get("average"):
        raise ValueError(f"{name}(average=...) cannot be federated: leave it out, the federation averages")
    if params.get("solver") == "liblinear":
        raise ValueError(f"{name}(solver='liblinear') cannot start from given weights: use 'lbfgs'")


def _check_targets(estimator: Any, train: Examples) -> None:
    if isinstance(estimator, SGDRegressor) and train.y.ndim != 1:
        raise ValueError(
            f"SGDRegressor learns one target an example, and train has targets of shape {train.y.shape}"
        )


def _check_weights(estimator: Any, train: Examples) -> None:
    method = "partial_fit" if isinstance(estimator, _BY_BATCH) else "fit"
    known = inspect.signature(getattr(estimator, method)).parameters
    if train.weight is not None and "sample_weight" not in known:
        name = f"{type(estimator).__name__}.{method}"
        raise ValueError(f"train has a sample_weight, and {name} of this scikit-learn takes none")


def _settings(estimator: Any) -> tuple[str, ...]:
    if isinstance(estimator, _BY_BATCH):
        return ("epochs", "batches", "batch_size", "last_batch", "lr")
    return ("epochs",) if isinstance(estimator, _BY_ITERATION) else ()


def _learning_rate(estimator: Any, lr: float) -> dict[str, Any]:
    if isinstance(estimator, _MLPS):
        return {"learning_rate_init": lr}
    return {"eta0": lr} if isinstance(estimator, Perceptron) else {"eta0": lr, "learning_rate": "constant"}


def _batches(count: int, schedule: Schedule, shuffler: np.random.Generator) -> Iterator[Array]:
    order, end = shuffler.permutation(count), 0
    for size in batch_sizes(count, schedule.batch_size or count, schedule.last_batch):
        begin, end = end, end + size
        yield order[begin:end]


def _parameters(estimator: Any) -> dict[str, Array]:
    if not isinstance(estimator, _MLPS):
        return {"coef_": np.asarray(estimator.coef_), "intercept_": np.asarray(estimator.intercept_)}
    return {
        f"{kind}_{layer}": array
        for kind in ("coefs", "intercepts")
        for layer, array in enumerate(getattr(estimator, f"{kind}_"))
    }
