"""Rounds and results of a run as a mapping of columns, or as a data frame where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.control.timeline import figure
from hanse.errors import ConfigError
from hanse.wire.result_tables import Tables

_MOST_ROWS = 20


class Columns(Mapping[str, npt.NDArray[Any]]):
    """Columns of the same length by name: `round`, int64, and metrics, float64 with NaN for none.

    Args:
        columns: The columns: arrays, which are kept as they are, or lists of numbers.
    """

    def __init__(self, columns: Mapping[str, list[Any] | npt.NDArray[Any]]) -> None:
        self._columns = {
            name: values if isinstance(values, np.ndarray) else _array(values)
            for name, values in columns.items()
        }

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        return "\n".join(
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows
        )

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        return html_table(head, rows)

    def _rows(self) -> list[list[str]]:
        """Head and rows as text; of many rows the last ones."""
        count = len(next(iter(self._columns.values()), ()))
        shown = range(max(0, count - _MOST_ROWS), count)
        rows = [[_cell(column[row]) for column in self._columns.values()] for row in shown]
        return [list(self._columns), *rows]


def result_table(tables: Tables, name: str) -> Any:
    """A table of results, as `table` gives it.

    Raises:
        ConfigError: There is no such table.
    """
    if name not in tables:
        known = f"The tables: {', '.join(tables)}." if tables else "The run has no results as tables."
        raise ConfigError(f"there is no table {name!r} of the results", mend=known)
    return table(tables[name])


def table(columns: Mapping[str, Any]) -> Any:
    """The columns as a pandas data frame where pandas is installed, else as `Columns`."""
    found = Columns(columns)
    if find_spec("pandas") is None:
        return found
    import pandas as pd

    return pd.DataFrame(dict(found))


def html_table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in HTML."""
    lines = [f"<tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _array(values: list[Any]) -> npt.NDArray[Any]:
    if values and all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _cell(value: Any) -> str:
    if isinstance(value, np.integer | np.bool_ | str):
        return str(value)
    return "" if np.isnan(value) else figure(float(value))
