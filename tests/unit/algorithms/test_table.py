"""The rows of a site by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hanse.algorithms.table import Categories, Table, input_names
from hanse.errors import TaskError

PAIN = Categories(column="pain", categories=("none", "some", "much"))


def test_a_data_frame_is_a_table() -> None:
    table = Table(pd.DataFrame({"age": [61, 47], "pain": ["some", "none"]}))

    assert len(table) == 2
    assert table.numbers(["age"]).tolist() == [[61.0], [47.0]]
    assert table.codes(PAIN).tolist() == [1, 0]


def test_categories_become_an_input_for_each_after_the_first() -> None:
    table = Table({"age": [61, 47, 50], "pain": ["much", "none", "some"]})

    assert table.inputs(["age", PAIN]).tolist() == [[61, 0, 1], [47, 0, 0], [50, 1, 0]]
    assert input_names(["age", PAIN]) == ("age", "pain=some", "pain=much")


def test_a_value_that_is_not_among_the_categories_fails_and_is_not_told() -> None:
    with pytest.raises(
        TaskError, match="'pain' has another value than the plan's categories in 1 row"
    ) as told:
        Table({"pain": ["unbearable", "none"]}).codes(PAIN)
    assert "unbearable" not in str(told.value)


@pytest.mark.parametrize("column", [[1.0, np.nan], [1.0, None], ["1", ""]])
def test_rows_without_a_value_fail_or_are_left_out(column: list[object]) -> None:
    table = Table({"age": column, "unused": [None, None]})

    with pytest.raises(TaskError, match=r"rows without a value in 'age' \(1 row\)"):
        table.complete(["age"], "refuse")
    assert table.complete(["age"], "leave_out").numbers(["age"]).tolist() == [[1.0]]


def test_a_column_that_is_not_there_fails_with_those_that_are() -> None:
    with pytest.raises(TaskError, match="no column 'weight'; it has age and ill"):
        Table({"ill": [1], "age": [2]}).numbers(["weight"])


def test_a_column_of_text_is_not_of_numbers() -> None:
    with pytest.raises(TaskError, match="'age' is not of numbers"):
        Table({"age": ["old"]}).numbers(["age"])


@pytest.mark.parametrize(
    ("column", "categories", "said"),
    [
        ([0, 1], ("0", "1"), "has numbers, and the plan's categories are texts"),
        (["0", "1"], (0, 1), "has texts, and the plan's categories are numbers"),
    ],
)
def test_texts_are_told_from_numbers(column: list[object], categories: tuple[Any, ...], said: str) -> None:
    with pytest.raises(TaskError, match=f"'ill' {said}"):
        Table({"ill": column}).codes(Categories(column="ill", categories=categories))


def test_rows_are_not_columns() -> None:
    with pytest.raises(TaskError, match="a table is columns by name, not a list"):
        Table([{"age": 61}, {"age": 47}])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["datetime64[ns]", object])
def test_a_column_of_dates_is_not_of_numbers(dtype: str) -> None:
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"])).astype(dtype)

    with pytest.raises(TaskError, match="'when' is of dates or times, not of numbers"):
        Table({"when": dates}).numbers(["when"])


def test_an_infinity_fails() -> None:
    with pytest.raises(TaskError, match="'age' has a number that is not finite"):
        Table({"age": [np.inf]}).numbers(["age"])


@pytest.mark.parametrize("columns", [{"a": [1], "b": [1, 2]}, {"a": 3}, {"a": [[1, 2]]}])
def test_columns_that_are_not_of_one_length_fail(columns: dict[str, object]) -> None:
    with pytest.raises(TaskError, match="not of one length"):
        Table(columns)
