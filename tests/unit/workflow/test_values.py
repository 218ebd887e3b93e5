"""What a workflow hands over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hanse.errors import WorkflowError
from hanse.workflow.values import MAX_METRICS, checked_metrics, checked_parameters


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf"), np.array(np.nan)])
def test_a_metric_that_json_lacks_is_refused_by_name(value: Any) -> None:
    with pytest.raises(WorkflowError, match="round 3: metric 'loss' is"):
        checked_metrics({"loss": value}, 3)


@pytest.mark.parametrize("value", ["0.5", [1.0, 2.0], np.zeros(2), 1j, b"1"])
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(WorkflowError, match="metric 'loss' must be a number"):
        checked_metrics({"loss": value}, 3)


def test_a_metric_that_is_not_defined_is_left_out() -> None:
    assert checked_metrics({"loss": 0.5, "auc": None}, 3) == {"loss": 0.5}


@pytest.mark.parametrize("name", ["n" * 201, "lo\nss", "\ud800"])
def test_a_name_that_cannot_be_written_down_is_refused(name: str) -> None:
    with pytest.raises(WorkflowError, match="is not a name"):
        checked_metrics({name: 1.0}, 3)


def test_metrics_are_bounded_in_number() -> None:
    with pytest.raises(WorkflowError, match="at most"):
        checked_metrics({f"m{number}": 0.0 for number in range(MAX_METRICS + 1)}, 3)


def test_parameters_pass_as_the_very_same() -> None:
    parameters = {"w": np.zeros(2), "scale": np.float32(1.0)}

    assert checked_parameters(parameters, "the model") is parameters  # type: ignore[arg-type]


@pytest.mark.parametrize("parameters", [[np.zeros(2)], {"w": 1.0}, {3: np.zeros(2)}])
def test_what_is_no_arrays_by_name_is_refused(parameters: Any) -> None:
    with pytest.raises(WorkflowError, match="the model"):
        checked_parameters(parameters, "the model")
