"""A ready learner for the algorithms on tables."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.algorithms.table_learner import TableLearner
from hanse.errors import TaskError


@pytest.mark.parametrize("options", [None, 3, "summary", []])
def test_options_that_are_not_those_of_a_site_fail(options: Any) -> None:
    with pytest.raises(TaskError, match=r"Write `hanse\.TableLearner\(columns, site\.options\)`"):
        TableLearner({"age": [61, 47]}, options)
