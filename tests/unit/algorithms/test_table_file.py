"""Tables in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.algorithms.table_file import read_table
from hanse.errors import TaskError


def table(folder: Path, text: str) -> Path:
    file = folder / "patients.csv"
    file.write_text(text, "utf-8")
    return file


def test_numbers_are_numbers_and_other_columns_are_texts(tmp_path: Path) -> None:
    columns = read_table(table(tmp_path, "age,sex\n61,f\n47.5,m\n"))

    assert columns["age"].tolist() == [61.0, 47.5]
    assert columns["sex"].tolist() == ["f", "m"]


def test_an_empty_cell_is_a_missing_value(tmp_path: Path) -> None:
    columns = read_table(table(tmp_path, "age,sex\n61,\n,m\n"))

    assert np.isnan(columns["age"]).tolist() == [False, True]
    assert columns["sex"].tolist() == ["", "m"]


@pytest.mark.parametrize("text", ["age;note\n61;a,b\n", "age\tnote\n61\ta,b\n", '\ufeffage,note\n61,"a,b"\n'])
def test_files_of_other_programs_are_read(tmp_path: Path, text: str) -> None:
    columns = read_table(table(tmp_path, text))

    assert (columns["age"].tolist(), columns["note"].tolist()) == ([61.0], ["a,b"])


@pytest.mark.parametrize("code", ["1_000", "12a"])
def test_what_is_not_a_number_everywhere_stays_a_text(tmp_path: Path, code: str) -> None:
    assert read_table(table(tmp_path, f"code\n{code}\n7\n"))["code"].tolist() == [code, "7"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the table patients.csv is empty"),
        ("age,age\n1,2\n", "the table patients.csv has 2 columns named 'age'"),
        (
            "age,sex\n1,f\n2\n",
            "row 3 of the table patients.csv has 1 value, and there are 2 names of columns",
        ),
        ('age\n"1\n', "the table patients.csv cannot be read: unexpected end of data"),
    ],
)
def test_what_is_not_a_table_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(TaskError) as refused:
        read_table(table(tmp_path, text))

    assert str(refused.value).startswith(problem)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"the table none\.csv cannot be read: No such file"):
        read_table(tmp_path / "none.csv")
