"""Results as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hanse.wire import result_tables
from hanse.wire.result_tables import long_table, plain_tables


def lists(tables: Any) -> dict[str, dict[str, list[Any]]]:
    return {
        name: {head: column.tolist() for head, column in columns.items()} for name, columns in tables.items()
    }


def test_an_array_has_a_row_for_each_place_with_its_labels() -> None:
    table = long_table({"sex": ["f", "m"], "time": [1.0, 2.0]}, {"n": np.array([[5, 4], [7, 6]])})

    assert lists({"t": table})["t"] == {
        "sex": ["f", "f", "m", "m"],
        "time": [1.0, 2.0, 1.0, 2.0],
        "n": [5, 4, 7, 6],
    }


def test_a_number_has_one_row_and_no_label() -> None:
    assert lists({"t": long_table({}, {"p": np.array(0.5)})})["t"] == {"p": [0.5]}


def test_vectors_of_one_length_are_one_table() -> None:
    found = plain_tables({"curve": {"time": np.arange(2), "survival": np.array([1.0, 0.5])}})

    assert lists(found) == {"curve": {"time": [0, 1], "survival": [1.0, 0.5]}}


def test_arrays_of_other_shapes_are_tables_of_their_own() -> None:
    value = {
        "a": np.array([1, 2]),
        "b": np.array([[1, 2], [3, 4]]),
        "n": np.array(7),
        "c": np.zeros((1, 1, 1)),
    }

    assert lists(plain_tables({"r": value})) == {
        "r": {"n": [7]},
        "r-a": {"a": [1, 2]},
        "r-b": {"0": [1, 3], "1": [2, 4]},
    }


def test_an_array_by_itself_is_a_table() -> None:
    found = plain_tables({"grid": np.eye(2), "one": np.array(2.5)})

    assert lists(found) == {"grid": {"0": [1, 0], "1": [0, 1]}, "one": {"one": [2.5]}}


def test_a_result_that_is_called_as_an_array_of_another_keeps_its_table() -> None:
    results = {"r-a": {"x": np.ones(1)}, "r": {"a": np.zeros(1), "b": np.zeros(2)}}

    assert lists(plain_tables(results)) == {"r-a": {"x": [1]}, "r-b": {"b": [0, 0]}}


def test_a_table_that_is_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_tables, "MOST_ROWS", 2)

    assert list(plain_tables({"short": np.zeros(2), "long": np.zeros(3)})) == ["short"]
