"""The rows of a site by column."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from hanse.algorithms.table import Categories, Feature, Table, input_names
from hanse.config.document import Document
from hanse.core.values.schema import Strict
from hanse.errors import PlanError, TaskError

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
    with pytest.raises(TaskError, match="a table is given as a list"):
        Table([{"age": 61}, {"age": 47}])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["datetime64[ns]", object])
def test_a_column_of_dates_is_not_of_numbers(dtype: str) -> None:
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"])).astype(dtype)

    with pytest.raises(TaskError, match=r"'when'.* dates"):
        Table({"when": dates}).numbers(["when"])


def test_an_infinity_fails() -> None:
    with pytest.raises(TaskError, match="'age' has a number that is not finite"):
        Table({"age": [np.inf]}).numbers(["age"])


def test_columns_that_are_not_of_one_length_fail() -> None:
    with pytest.raises(TaskError, match="not of one length"):
        Table({"a": [1], "b": [1, 2]})


@pytest.mark.parametrize("column", [3, [[1, 2]], {1, 2}, None])
def test_what_is_no_column_fails_with_its_name(column: object) -> None:
    with pytest.raises(TaskError, match=r"the column 'a' has \d dimensions"):
        Table({"a": column})


def test_rows_of_several_lengths_fail() -> None:
    with pytest.raises(TaskError, match="the column 'a' cannot be made an array"):
        Table({"a": [[1], [1, 2]]})


@pytest.mark.parametrize("columns", [None, 3, [], "abc", np.ones(3)])
def test_what_is_no_table_fails(columns: Any) -> None:
    with pytest.raises(TaskError, match="a table is given as"):
        Table(columns)


@pytest.mark.parametrize("columns", [{"1": [1], 1: [2]}, pd.DataFrame([[1, 2]], columns=["1", "1"])])
def test_two_columns_of_one_name_fail(columns: Any) -> None:
    with pytest.raises(TaskError, match="two columns '1'"):
        Table(columns)


def test_a_number_that_float64_cannot_hold_fails() -> None:
    with pytest.raises(TaskError, match="'age' has a number that is too large"):
        Table({"age": [10**400]}).numbers(["age"])


MISSING = [
    np.array([1, "NaT"], "timedelta64[D]"),
    np.array(["2020-01-01", "NaT"], "datetime64[D]"),
    np.ma.masked_array([1, 2], [False, True]),
    np.ma.masked_array(["a", "b"], [False, True]),
    pd.Series([1, None], dtype="Int64"),
    pd.Series(["a", None], dtype="string"),
    [1, pd.NA],
    [1, pd.NaT],
    np.array([1, np.ma.masked], object),
    [1 + 0j, complex("nan")],
]


@pytest.mark.parametrize("column", MISSING, ids=lambda column: f"{getattr(column, 'dtype', column)}")
def test_a_value_that_numpy_or_pandas_call_missing_is(column: object) -> None:
    table = Table({"age": column})

    with pytest.raises(TaskError, match=r"rows without a value in 'age' \(1 row\)"):
        table.complete(["age"], "refuse")
    assert len(table.complete(["age"], "leave_out")) == 1


def test_masked_whole_numbers_stay_as_they_are() -> None:
    table = Table({"age": np.ma.masked_array([61, -999], [False, True])}).complete(["age"], "leave_out")

    assert table.numbers(["age"]).tolist() == [[61.0]]
    assert table.codes(Categories(column="age", categories=(60, 61))).tolist() == [1]


OTHER_KINDS = [
    (np.array([1], "timedelta64[D]"), "durations"),
    (pd.Series(pd.to_timedelta([1], "D")), "durations"),
    ([datetime.timedelta(1)], "durations"),
    (np.array([np.timedelta64(1, "D")], object), "durations"),
    (np.array(["2020-01-01"], "datetime64[D]"), "dates"),
    (pd.Series(pd.to_datetime(["2020-01-01"], utc=True)), "dates"),
    ([1 + 2j], "complex numbers"),
    (np.array([np.complex128(1 + 2j)], object), "complex numbers"),
]


@pytest.mark.parametrize(("column", "kind"), OTHER_KINDS)
def test_dates_durations_and_complex_numbers_are_not_taken_as_numbers(column: object, kind: str) -> None:
    table = Table({"age": column}).complete(["age"], "refuse")

    with pytest.raises(TaskError, match=f"'age' is of {kind}"):
        table.numbers(["age"])
    with pytest.raises(TaskError, match=f"'age' is of {kind}"):
        table.codes(Categories(column="age", categories=(1, 2)))


@pytest.mark.parametrize("categories", [["a", "b", "b"], [0, 1, True], [0, 0.0, 1]])
def test_a_category_that_is_listed_twice_is_refused(categories: list[object]) -> None:
    with pytest.raises(ValidationError, match="is listed twice"):
        Categories.model_validate({"column": "a", "categories": categories})


@pytest.mark.parametrize("category", [2**53 + 1, -1e300, float("nan"), "", None, [1]])
def test_a_category_that_cannot_be_told_from_others_is_refused(category: object) -> None:
    with pytest.raises(ValidationError, match="a category is a text of"):
        Categories.model_validate({"column": "a", "categories": [category]})


WRONG_FEATURES = [
    ({"column": "b"}, "features[1].categories: is missing"),
    ({"column": "b", "categories": []}, "features[1].categories: should have at least 1 item, not 0, is []"),
    ({"column": "b", "categories": [1, 2], "x": 3}, "features[1].x: unknown key; known here are column"),
    ("", "features[1]: should have at least 1 character"),
    (3, "features[1]: should be the name of a column, or `{column: NAME, categories: [...]}`"),
]


@pytest.mark.parametrize(("feature", "told"), WRONG_FEATURES)
def test_a_wrong_feature_is_told_as_what_it_was_meant_to_be(feature: object, told: str) -> None:
    class Inputs(Strict):
        features: tuple[Feature, ...]

    with pytest.raises(PlanError) as refused:
        Document("plan", {"features": ["age", feature]}, {}, PlanError).check(Inputs)
    assert refused.value.message.startswith(f"plan: {told}")
    assert "\n" not in refused.value.message
