"""Columns of a CSV file, as the algorithms on tables take them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.core.values.wording import counted
from hanse.errors import TaskError

_DELIMITERS = ",;\t"


def read_table(file: str | PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read the columns of a CSV file by the names in its first line.

    A column in which all values are numbers or missing is float64, with NaN where an empty cell is; any
    other is of texts. Values are separated by commas, semicolons or tabs; the text is UTF-8.

    Args:
        file: Its path.

    Returns:
        Arrays of one length, shape (rows,).

    Raises:
        TaskError: The file cannot be read, has no line of names or a name twice, or a row has another
            number of values than there are names.
    """
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as text:
            first = text.readline()
            text.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            lines = [line for line in csv.reader(text, delimiter=delimiter, strict=True) if line]
    except (OSError, UnicodeError, csv.Error) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise TaskError(
            f"the table {Path(file).name} cannot be read: {told}",
            mend="A table is a CSV file in UTF-8, with the names of its columns in the first line.",
        ) from None
    if not lines:
        raise TaskError(f"the table {Path(file).name} is empty", mend="Its first line names the columns.")
    names, *rows = lines
    for name, count in Counter(names).items():
        if count > 1:
            raise TaskError(f"the table {Path(file).name} has {count} columns named {name!r}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise TaskError(
                f"row {number} of the table {Path(file).name} has {counted(len(row), 'value')}, and there "
                f"are {counted(len(names), 'name')} of columns"
            )
    return {name: _column([row[place] for row in rows]) for place, name in enumerate(names)}


def _column(values: Sequence[str]) -> npt.NDArray[Any]:
    texts = [value.strip() for value in values]
    # Python reads 1_000 as a number, and no other program does.
    if not any("_" in text for text in texts):
        try:
            return np.array([float(text) if text else np.nan for text in texts], np.float64)
        except ValueError:
            pass
    return np.array(texts, object)
