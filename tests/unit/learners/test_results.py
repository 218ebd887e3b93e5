"""What user code gives back, checked."""

from typing import Any

import numpy as np
import pytest

from hanse.core.values.update import TaskResult
from hanse.errors import TaskError
from hanse.learners.results import checked_result

RECEIVED = {"w": np.zeros(2, np.float32), "b": np.zeros((), np.float32)}


def test_numbers_of_numpy_become_plain_ones() -> None:
    result = TaskResult(np.int64(4), {"loss": np.float32(0.5), "right": np.True_, "all": 1})

    checked = checked_result(result, RECEIVED, "train")

    assert (checked.num_examples, checked.metrics) == (4, {"loss": 0.5, "right": 1.0, "all": 1.0})
    assert [type(value) for value in (checked.num_examples, *checked.metrics.values())] == [
        int,
        float,
        float,
        float,
    ]


def test_a_metric_that_is_not_defined_is_kept_as_such() -> None:
    assert checked_result(TaskResult(1, {"auc": None}), RECEIVED, "train").metrics == {"auc": None}


def test_a_masked_array_that_hides_nothing_is_an_array() -> None:
    result = TaskResult(1, {"loss": np.ma.array(0.5)}, {**RECEIVED, "w": np.ma.array([1, 2], np.float32)})

    checked = checked_result(result, RECEIVED, "train")

    assert checked.metrics == {"loss": 0.5}
    assert type((checked.parameters or {})["w"]) is np.ndarray


def test_a_scalar_is_an_array_without_dimensions() -> None:
    trained = {"w": RECEIVED["w"], "b": np.float32(3)}

    checked = checked_result(TaskResult(1, {}, trained), RECEIVED, "train")

    assert checked.parameters is not None
    assert checked.parameters["b"].shape == ()
    assert checked.parameters["w"] is RECEIVED["w"]


class Rude:
    """A number of the user's own."""

    def __index__(self) -> int:
        raise RuntimeError("not now")

    __float__ = __index__

    def __repr__(self) -> str:
        raise RuntimeError("nor this")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, r"train gave back a NoneType\. A task returns hanse\.TaskResult"),
        (TaskResult(-1), "number of examples must be a whole number from 0 on, got -1"),
        (TaskResult(2.0), "number of examples must be a whole number"),
        (TaskResult(10**5_000), "number of examples must be a whole number from 0 on, got an int"),
        (TaskResult(Rude()), "number of examples must be a whole number from 0 on, got a .*Rude"),
        (TaskResult(1, {"loss": 10**400}), "metric 'loss' must be a number, got an int"),
        (TaskResult(1, {"loss": Rude()}), "metric 'loss' must be a number, got a .*Rude"),
        (TaskResult(1, {"\ud800": 0.5}), r"'\\ud800' is not a name: half of a surrogate pair is not text"),
        (TaskResult(1, {}, {"\ud800": RECEIVED["w"]}), r"'\\ud800' is not a name"),
        (TaskResult(1, {"loss": "0.5"}), "metric 'loss' must be a number, got a str"),
        (TaskResult(1, {3: 0.5}), "3 is not a name"),
        (TaskResult(1, {"loss": 10**400}), "metric 'loss' must be a number"),
        (TaskResult(1, {"loss": np.ma.masked}), "metric 'loss' is masked: it has no value"),
        (TaskResult(1, {"loss": np.ma.array([0.5], mask=[True])}), "metric 'loss' is masked"),
        (TaskResult(np.ma.array(3, mask=True)), "number of examples must be a whole number"),
        (
            TaskResult(1, {}, {**RECEIVED, "w": np.ma.array(RECEIVED["w"], mask=[0, 1])}),
            "parameter 'w' has masked numbers",
        ),
        (TaskResult(1, [0.5]), "metrics must be numbers by name, got a list"),
        (TaskResult(1, {}, [1]), "parameters must be arrays by name, got a list"),
        (TaskResult(1, {}, {"w": [0, 0]}), r"parameter 'w' is a list\. Give a NumPy array"),
        (TaskResult(1, {}, {"w": RECEIVED["w"]}), "another model than it got: tensor 'b' is missing"),
        (
            TaskResult(1, {}, {**RECEIVED, "w": np.zeros(2)}),
            "tensor 'w' has dtype float64, expected float32",
        ),
    ],
)
def test_what_is_no_result_is_refused_by_name(result: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        checked_result(result, RECEIVED, "train")


class Counting(int):
    def __le__(self, other: object) -> bool:
        raise SystemExit(0)


class Named(str):
    def __eq__(self, other: object) -> bool:
        raise SystemExit(0)

    __hash__ = str.__hash__


def test_numbers_and_names_of_the_codes_own_kinds_become_plain_ones() -> None:
    result = checked_result(TaskResult(Counting(3), {Named("loss"): 0.5}), RECEIVED, "train")

    assert type(result.num_examples) is int
    assert [type(name) for name in result.metrics] == [str]


def test_a_loss_that_is_no_longer_finite_is_told_as_it_is() -> None:
    assert np.isnan(checked_result(TaskResult(1, {"loss": float("nan")}), RECEIVED, "train").metrics["loss"])
