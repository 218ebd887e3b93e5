"""Rounds as columns."""

from __future__ import annotations

from hanse.interactive.columns import Columns


def test_columns_are_found_by_name() -> None:
    columns = Columns({"round": [1, 2], "loss": [0.5, None]})

    assert (columns["round"].dtype, columns["loss"].dtype) == ("int64", "float64")
    assert len(columns) == 2


def test_columns_are_shown_as_a_table() -> None:
    columns = Columns({"round": [1, 2], "loss": [0.5, None]})

    assert repr(columns) == "round   loss\n    1  0.500\n    2       "
    assert "<td>0.500</td>" in columns._repr_html_()


def test_of_many_rounds_the_last_are_shown() -> None:
    columns = Columns({"round": list(range(1, 101))})

    assert repr(columns).split()[:2] == ["round", "81"]


def test_no_round_is_a_table_of_heads() -> None:
    assert repr(Columns({"round": []})) == "round"
