"""Values of keywords, as a plan file would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.errors import PlanError
from hanse.interactive.values import as_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.array([[1.5], [2.0]]), [[1.5], [2.0]]),
        (("a", None), ["a", None]),
        ({"lr": np.float64(0.5), "deep": {"on": True}}, {"lr": 0.5, "deep": {"on": True}}),
        (Path("data") / "a.csv", "data/a.csv"),
    ],
)
def test_a_value_is_as_a_plan_file_has_it(value: Any, expected: Any) -> None:
    assert as_json("options", value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"loss": {"f": print}},
            r"options\.loss\.f: a plan cannot hold a value of the type builtin_function",
        ),
        ([{1, 2}], r"options\.0: .* of the type set"),
        ({3: 1}, "options: the key 3 is not text"),
    ],
)
def test_a_value_that_no_plan_can_hold_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        as_json("options", value)
