"""A task's result, held against what the plan declares."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from hanse.core.plan.disclosure import (
    MAX_EXAMPLES,
    check_examples,
    check_metrics,
    check_patterns,
    check_result,
    check_tensors,
    check_update,
    declared,
    disclosure_of,
    expected_tensors,
)
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE, Disclosure
from hanse.core.values.parameters import Parameters, TensorSpec
from hanse.errors import DisclosureError, PlanError, UpdateError

PLAN = Plan.model_validate(
    {
        "name": "chest-xray",
        "code": ["model.py"],
        "learner": "model:learner",
        "tasks": {"train": {"discloses": {"update": "individual", "metrics": ["loss"]}}, "evaluate": {}},
    }
)
WEIGHT, BIAS = TensorSpec((2, 3), "float32"), TensorSpec((3,), "float32")
MODEL = {"encoder.weight": WEIGHT, "encoder.bias": BIAS, "head.bias": BIAS}
DELTA = {"bias": np.zeros(3, np.float32)}
WHAT = "task train at cleveland"


@dataclass(frozen=True)
class Result:
    num_examples: int = 5
    metrics: dict[str, float | None] = field(default_factory=dict)
    update: object | None = "its digest"


def test_a_task_discloses_what_the_plan_says() -> None:
    assert disclosure_of(PLAN, "train").metrics == ("loss",)
    assert disclosure_of(PLAN, "evaluate") == Disclosure()


def test_the_first_model_is_disclosed_whole_and_without_metrics() -> None:
    assert disclosure_of(PLAN, INITIALISE) == Disclosure(update="individual", tensors=("*",), metrics=())


def test_what_the_plan_keeps_at_each_site_is_never_expected() -> None:
    kept = PLAN.model_copy(update={"personal": ("head.*",)})

    assert expected_tensors(Received(MODEL), kept, "train").keys() == {"encoder.weight", "encoder.bias"}


@pytest.mark.parametrize("task", ["train", INITIALISE])
def test_what_the_plan_keeps_at_each_site_is_refused_on_its_way_out(task: str) -> None:
    kept = PLAN.model_copy(update={"personal": ("head.*",)})
    update = {"encoder.bias": np.zeros(3, np.float32), "head.bias": np.zeros(3, np.float32)}

    with pytest.raises(
        DisclosureError, match=r"would disclose the tensor 'head\.bias', which the plan keeps"
    ):
        check_tensors(update, Received({"encoder.bias": BIAS, "head.bias": BIAS}), kept, task, WHAT)


def test_a_task_that_the_plan_lacks_discloses_nothing() -> None:
    with pytest.raises(DisclosureError, match="chest-xray has no task 'spy'; it has: train, evaluate"):
        disclosure_of(PLAN, "spy")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("*",), {"encoder.weight", "encoder.bias", "head.bias"}),
        (("encoder.*",), {"encoder.weight", "encoder.bias"}),
        (("head.bias", "*.weight"), {"encoder.weight", "head.bias"}),
        (("ENCODER.*",), set()),
    ],
)
def test_patterns_choose_the_tensors_that_are_sent(patterns: tuple[str, ...], names: set[str]) -> None:
    assert declared(MODEL, Disclosure(update="individual", tensors=patterns)).keys() == names


def test_a_task_without_an_update_sends_no_tensor() -> None:
    assert declared(MODEL, Disclosure(update="none", tensors=("*",))) == {}


def test_declared_metrics_may_leave() -> None:
    check_metrics({"loss": 0.5}, Disclosure(metrics=("loss", "accuracy")), "task train at cleveland")


def test_an_undeclared_metric_stays_and_the_message_says_what_is_declared() -> None:
    expected = "task train at cleveland would disclose the metric 'age'; the plan declares: loss"
    with pytest.raises(DisclosureError, match=expected):
        check_metrics({"loss": 0.5, "age": 63.0}, Disclosure(metrics=("loss",)), "task train at cleveland")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_metric_that_is_no_number_stays(value: float) -> None:
    with pytest.raises(UpdateError, match="task train at cleveland reports loss ="):
        check_metrics({"loss": value}, Disclosure(metrics=("loss",)), "task train at cleveland")


def test_a_metric_that_is_not_defined_at_a_site_leaves_as_such_where_it_is_declared() -> None:
    check_metrics({"auc": None}, Disclosure(metrics=("auc",)), "task train at cleveland")
    with pytest.raises(DisclosureError, match="would disclose the metric 'auc'"):
        check_metrics({"auc": None}, Disclosure(), "task train at cleveland")


def test_a_nan_stays_a_failure_that_says_what_a_metric_without_a_value_is() -> None:
    with pytest.raises(UpdateError, match="reports auc = nan") as caught:
        check_metrics({"auc": float("nan")}, Disclosure(metrics=("auc",)), "task train at cleveland")

    assert "an AUC of one class, is given as None" in caught.value.mend


def test_a_metric_leaves_with_as_many_digits_as_are_declared() -> None:
    expected = "task train at cleveland would disclose more than 6 significant digits of the metric 'loss'"

    check_metrics({"loss": 0.123456}, Disclosure(metrics=("loss",)), "task train at cleveland", digits=6)
    with pytest.raises(DisclosureError, match=expected) as caught:
        check_metrics({"loss": 0.1234567}, Disclosure(metrics=("loss",)), "task train at cleveland", digits=6)

    assert "0.123456" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 1, MAX_EXAMPLES])
def test_a_possible_number_of_examples_may_leave(count: int) -> None:
    check_examples(count, "task train at cleveland")


@pytest.mark.parametrize("count", [-1, MAX_EXAMPLES + 1])
def test_an_impossible_number_of_examples_stays(count: int) -> None:
    with pytest.raises(UpdateError, match=f"task train at cleveland reports {count} examples"):
        check_examples(count, "task train at cleveland")


def test_an_update_as_declared_may_leave() -> None:
    check_update(DELTA, {"bias": BIAS}, "cleveland")


@pytest.mark.parametrize(
    ("delta", "problem"),
    [
        (DELTA | {"patients": np.zeros(2)}, "tensor 'patients' was not expected"),
        ({}, "tensor 'bias' is missing"),
        ({"bias": np.zeros(4, np.float32)}, r"has shape \(4,\), expected \(3,\)"),
        ({"bias": np.zeros(3, np.float64)}, "has dtype float64, expected float32"),
    ],
)
def test_an_update_that_is_not_what_was_declared_stays(delta: Parameters, problem: str) -> None:
    with pytest.raises(DisclosureError, match=f"the update of cleveland is not .*: .*{problem}"):
        check_update(delta, {"bias": BIAS}, "cleveland")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_with_a_value_that_is_no_number_stays(value: float) -> None:
    delta = {"bias": np.array([0, value, 0], np.float32)}

    with pytest.raises(UpdateError, match="NaN or an infinity in tensor 'bias'"):
        check_update(delta, {"bias": BIAS}, "cleveland")


def test_a_result_as_declared_passes() -> None:
    check_result(Result(metrics={"loss": 0.5}), PLAN, "train", WHAT)
    check_result(Result(update=None), PLAN, "evaluate", WHAT)


@pytest.mark.parametrize(
    ("result", "task", "error", "problem"),
    [
        (Result(num_examples=-1), "train", UpdateError, "reports -1 examples"),
        (Result(metrics={"loss": np.nan}), "train", UpdateError, "reports loss"),
        (Result(metrics={"loss": 1 / 3}), "train", DisclosureError, "more than 6 significant digits"),
        (
            Result(metrics={"age": 63.0}),
            "train",
            DisclosureError,
            "the metric 'age'; the plan declares: loss",
        ),
        (
            Result(update=None),
            "train",
            DisclosureError,
            "no update, and the plan declares update: individual",
        ),
        (Result(), "evaluate", DisclosureError, "an update, and the plan declares update: none"),
        (Result(), "spy", DisclosureError, "has no task 'spy'"),
    ],
)
def test_a_result_that_is_not_as_declared_is_refused(
    result: Result, task: str, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        check_result(result, PLAN, task, WHAT)


def test_the_tensors_of_an_update_are_those_of_the_model() -> None:
    check_tensors(DELTA, Received({"bias": BIAS}), PLAN, "train", WHAT)

    with pytest.raises(DisclosureError, match="tensor 'bias' was not expected; expected are none"):
        check_tensors(DELTA, Received(), PLAN, "train", WHAT)
    with pytest.raises(DisclosureError, match="tensor 'weight' is missing"):
        check_tensors(DELTA, Received({"bias": BIAS, "weight": WEIGHT}), PLAN, "train", WHAT)


@pytest.mark.parametrize("name", ["w\x1b[31m", "w\n", "\u202egnp", "a\u2028b"])
def test_a_name_of_a_first_model_that_a_terminal_acts_on_is_refused(name: str) -> None:
    with pytest.raises(UpdateError, match="whose name is not printable: '") as caught:
        check_tensors({name: np.zeros(1)}, Received(), PLAN, INITIALISE, WHAT)

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["encoder.0.weight", "Gewicht für Größe", "dense/kernel:0"])
def test_a_name_of_a_first_model_in_any_language_is_one(name: str) -> None:
    check_tensors({name: np.zeros(1)}, Received(), PLAN, INITIALISE, WHAT)


def test_the_first_model_has_tensors_of_its_own() -> None:
    check_tensors(DELTA, Received(), PLAN, INITIALISE, WHAT)
    check_tensors({"mask": np.array([0, -np.inf])}, Received(), PLAN, INITIALISE, WHAT)

    with pytest.raises(UpdateError, match=r"first model of .* has a NaN in tensor 'bias'"):
        check_tensors({"bias": np.full(3, np.nan)}, Received(), PLAN, INITIALISE, WHAT)


def test_a_pattern_that_fits_no_tensor_is_refused_by_name() -> None:
    model = {"encoder.weight": TensorSpec((2,), "float32"), "head.weight": TensorSpec((2,), "float32")}

    def checked(*patterns: str, model: dict[str, TensorSpec] = model) -> None:
        discloses = {"update": "individual", "tensors": patterns}
        agreed = {**PLAN.model_dump(), "tasks": {"train": {"discloses": discloses}}}
        check_patterns(model, Plan.model_validate(agreed), "train")

    checked("encoder.*")
    checked("encoder.*", "head.*")
    checked("*")
    checked("*", model={})
    with pytest.raises(PlanError, match=r"a pattern 'haed\.\*' that no tensor .* 'encoder\.weight' and"):
        checked("encoder.*", "haed.*")


def test_a_task_that_sends_no_tensor_needs_no_pattern_that_fits() -> None:
    check_patterns({"weight": TensorSpec((2,), "float32")}, PLAN, "evaluate")
