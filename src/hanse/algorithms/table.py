"""The rows of one site by column, as the algorithms on tables see them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hanse.algorithms.base import CombinedSettings
from hanse.core.values.schema import Strict
from hanse.core.values.wording import counted, named
from hanse.errors import TaskError

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

ColumnName = Annotated[str, Field(min_length=1, max_length=500)]
Category = ColumnName | bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | float


class Categories(Strict):
    """A column whose values are categories."""

    column: ColumnName = Field(description="Name of the column.")
    categories: tuple[Category, ...] = Field(
        min_length=1,
        max_length=1_000,
        description="All of its values, in the order in which results have them.",
    )


Feature = ColumnName | Categories
"""A column of numbers, or one of categories, which becomes an input for each category after the first."""


class TableSettings(CombinedSettings):
    """Settings of an algorithm on tables."""

    missing: Literal["refuse", "leave_out"] = Field(
        "refuse",
        description="Rows in which one of the columns has no value: the task fails, or they are left out.",
    )


class Columns(Protocol):
    """Columns of equal length by name: a dict of arrays or lists, or a data frame."""

    def keys(self) -> Iterable[Any]:
        """Names of the columns."""
        ...

    def __getitem__(self, name: str, /) -> Any: ...


class Table:
    """The rows of one site.

    Args:
        columns: Columns by name, each of one value a row. A missing value is NaN, None or an empty text.

    Raises:
        TaskError: They are not columns by name, or have not the same length, or one is not a column.
    """

    def __init__(self, columns: Columns) -> None:
        if not hasattr(columns, "keys"):
            raise TaskError(
                f"a table is columns by name, not a {type(columns).__name__}",
                mend="Give a dict of columns, `{'age': [61, 47], 'ill': [1, 0]}`, or a data frame; of rows, "
                "`pandas.DataFrame(rows)` makes one.",
            )
        self._columns = {str(name): np.asarray(columns[name]) for name in columns.keys()}  # noqa: SIM118
        lengths = {len(column) if column.ndim == 1 else -1 for column in self._columns.values()}
        if len(lengths) > 1 or -1 in lengths:
            raise TaskError(
                "the columns of a table are not of one length",
                mend="Give one value a row in each column: `{'age': [61, 47], 'ill': [1, 0]}`.",
            )
        self._rows = lengths.pop() if lengths else 0

    def __len__(self) -> int:
        """Number of rows."""
        return self._rows

    def complete(self, names: Iterable[str], missing: str, partly: Iterable[str] = ()) -> Table:
        """The rows that have a value in each of these columns.

        Args:
            names: The columns that are used.
            missing: See `TableSettings.missing`.
            partly: Further columns; a row may lack their values, where `missing` is `leave_out`.

        Raises:
            TaskError: A column is not there, or lacks values and `missing` is `refuse`.
        """
        others = tuple(partly)
        chosen = {name: self._column(name) for name in [*names, *others]}
        lacking = {name: _lacking(column) for name, column in chosen.items()}
        counts = {name: int(rows.sum()) for name, rows in lacking.items() if rows.any()}
        if counts and missing == "refuse":
            told = named([f"{name!r} ({counted(count, 'row')})" for name, count in counts.items()])
            raise TaskError(
                f"there are rows without a value in {told}",
                mend="Fill in or leave out such rows in the learner's code, or write `missing: leave_out` "
                "under `algorithm` in the plan.",
            )
        kept = np.ones(self._rows, bool)
        for name, rows in lacking.items():
            kept &= ~rows | (name in others)
        return Table({name: column[kept] for name, column in chosen.items()})

    def numbers(self, names: Sequence[str]) -> Floats:
        """Columns of numbers, shape (rows, len(names)).

        Raises:
            TaskError: A column is not there, has a text, or a number that is not finite.
        """
        values = np.empty((self._rows, len(names)))
        for place, name in enumerate(names):
            values[:, place] = _numbers(self._column(name), name)
        return values

    def partial_numbers(self, names: Sequence[str]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Columns of numbers that may lack some, shape (rows, len(names)): 0 where there is none.

        Returns:
            The numbers, and where there is one.

        Raises:
            TaskError: As `numbers`.
        """
        values, there = np.zeros((self._rows, len(names))), np.ones((self._rows, len(names)), bool)
        for place, name in enumerate(names):
            column = self._column(name)
            there[:, place] = ~_lacking(column)
            values[there[:, place], place] = _numbers(column[there[:, place]], name)
        return values, there

    def codes(self, categories: Categories) -> Counts:
        """The place of each row's value among the categories, shape (rows,).

        Raises:
            TaskError: The column is not there, or a row has a value that is not among them.
        """
        column = self._column(categories.column)
        codes = np.full(self._rows, -1, np.int64)
        for code, category in enumerate(categories.categories):
            codes[column == category] = code
        if (codes < 0).any():
            # The value stays at the site: it may be one person's.
            count = counted(int((codes < 0).sum()), "row")
            kinds = _kinds(column), _kinds(np.array(categories.categories, object))
            if kinds[0] and kinds[1] and kinds[0] != kinds[1]:
                raise TaskError(
                    f"the column {categories.column!r} has {kinds[0]}, and the plan's categories are "
                    f"{kinds[1]}",
                    mend="Write the categories as the column has them (`0` is a number, `'0'` a text), or "
                    "recode the column.",
                )
            raise TaskError(
                f"the column {categories.column!r} has another value than the plan's categories in {count}",
                mend="List every value of the column under `categories`, or recode the column.",
            )
        return codes

    def inputs(self, features: Sequence[Feature]) -> Floats:
        """Inputs of a model, shape (rows, number of inputs); see `input_names`.

        Raises:
            TaskError: As `numbers` and `codes`.
        """
        parts = [np.empty((self._rows, 0))]
        for feature in features:
            if isinstance(feature, str):
                parts.append(self.numbers([feature]))
            else:
                places = np.arange(1, len(feature.categories))
                parts.append((self.codes(feature)[:, np.newaxis] == places).astype(np.float64))
        return np.concatenate(parts, axis=1)

    def _column(self, name: str) -> npt.NDArray[Any]:
        if name not in self._columns:
            raise TaskError(f"the table has no column {name!r}; it has {named(sorted(self._columns))}")
        return self._columns[name]


def _numbers(column: npt.NDArray[Any], name: str) -> Floats:
    """A column as numbers.

    Raises:
        TaskError: It has dates, texts, or a number that is not finite.
    """
    if column.dtype.kind in "mM" or (column.dtype.kind == "O" and any(map(_is_date, column))):
        raise TaskError(
            f"the column {name!r} is of dates or times, not of numbers",
            mend="Make numbers of them in the learner's code, such as days since a date.",
        )
    try:
        numbers = column.astype(np.float64)
    except (TypeError, ValueError):
        raise TaskError(f"the column {name!r} is not of numbers") from None
    if not np.isfinite(numbers).all():
        raise TaskError(f"the column {name!r} has a number that is not finite")
    return np.asarray(numbers)


def _is_date(value: object) -> bool:
    return isinstance(
        value, (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
    )


def input_names(features: Sequence[Feature]) -> tuple[str, ...]:
    """A name for each input that `Table.inputs` makes: the column's, or `column=category`."""
    return tuple(
        name
        for feature in features
        for name in (
            [feature]
            if isinstance(feature, str)
            else [f"{feature.column}={category}" for category in feature.categories[1:]]
        )
    )


def column_names(features: Iterable[Feature]) -> Iterator[str]:
    """The columns that features or categories are made of."""
    for feature in features:
        yield feature if isinstance(feature, str) else feature.column


def _kinds(values: npt.NDArray[Any]) -> str:
    """Say whether all values are numbers or all are texts; empty for a mixture."""
    if values.dtype.kind in "biuf":
        return "numbers"
    texts = {isinstance(value, str | bytes) for value in values.tolist()}
    if len(texts) != 1:
        return ""
    return "texts" if texts.pop() else "numbers"


def _lacking(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    if column.dtype.kind in "mM":
        return np.asarray(np.isnat(column))
    if column.dtype.kind in "OUS":
        # A NaN differs from itself.
        return np.array([value is None or value in ("", b"") or value != value for value in column], bool)
    return np.zeros(len(column), bool)


def grouped_sums(values: Floats, codes: Counts, number: int) -> Floats:
    """Sums of rows by group, shape (number, *values.shape[1:])."""
    sums = np.zeros((number, *values.shape[1:]))
    for code in range(number):
        sums[code] = values[codes == code].sum(axis=0)
    return sums
