"""The rows of one site by column, as the algorithms on tables see them."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from hanse.algorithms.base import CombinedSettings
from hanse.core.values.schema import Strict
from hanse.core.values.wording import counted, named
from hanse.errors import TaskError
from hanse.learners.results import a_kind_of

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_MOST = 2**53
"""Above it, neighbouring whole numbers are one float64."""


def _category(value: object) -> object:
    """Refuse other values in one sentence, where pydantic has one for each kind of category."""
    match value:
        case bool():
            return value
        case int() | float() if math.isfinite(value) and abs(value) <= _MOST:
            return value
        case str() if 1 <= len(value) <= 500:
            return value
        case _:
            raise ValueError(
                "a category is a text of 1 to 500 characters, true, false, or a number of at most 2^53"
            )


ColumnName = Annotated[str, Field(min_length=1, max_length=500)]
Category = Annotated[
    ColumnName | bool | Annotated[int, Field(ge=-_MOST, le=_MOST)] | float, BeforeValidator(_category)
]


class Categories(Strict):
    """A column whose values are categories."""

    column: ColumnName = Field(description="Name of the column.")
    categories: tuple[Category, ...] = Field(
        min_length=1,
        max_length=1_000,
        description="All of its values, in the order in which results have them.",
    )

    @field_validator("categories")
    @classmethod
    def _once(cls, categories: tuple[Category, ...]) -> tuple[Category, ...]:
        seen: set[Category] = set()
        for category in categories:
            if category in seen:
                alike = "" if isinstance(category, str) else "; 0, 0.0 and false are one, as are 1 and true"
                raise ValueError(f"the category {category!r} is listed twice{alike}")
            seen.add(category)
        return categories

    @model_validator(mode="before")
    @classmethod
    def _with_its_values(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(
                f"names the column alone; write all of its values too: `{{column: {value[:80]}, categories: "
                "[0, 1]}`, or `[f, m]`, as they stand in the data"
            )
        listed = value.get("categories") if isinstance(value, dict) else None
        # Read strictly, JSON's list would not pass for a tuple once it went through here.
        return {**value, "categories": tuple(listed)} if isinstance(listed, list) else value


_NAME: TypeAdapter[str] = TypeAdapter(ColumnName)


def _feature(value: object, _check: ValidatorFunctionWrapHandler) -> str | Categories:
    """Report what is wrong with the choice that was meant, and not with the other one too."""
    match value:
        case str():
            return _NAME.validate_python(value)
        case Mapping() | Categories():
            return Categories.model_validate(value)
        case _:
            raise ValueError("should be the name of a column, or `{column: NAME, categories: [...]}`")


Feature = Annotated[ColumnName | Categories, WrapValidator(_feature)]
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
        columns: Columns by name, each of one value a row. A missing value is NaN, NaT, None, `pandas.NA`, an
            empty text, or masked.

    Raises:
        TaskError: These are not columns by name, they have not the same length, or one is not a column.
    """

    def __init__(self, columns: Columns) -> None:
        if not callable(getattr(columns, "keys", None)):
            raise TaskError(
                f"a table is given as {a_kind_of(columns)}",
                mend="Give a data frame, or a dictionary of columns: `{'age': [61, 47], 'ill': [1, 0]}`.",
            )
        names = [(str(key), key) for key in columns.keys()]  # noqa: SIM118
        if twice := [name for name, count in Counter(name for name, _ in names).items() if count > 1]:
            raise TaskError(f"the table has two columns {twice[0]!r}", mend="Give each a name of its own.")
        self._columns = {name: _column(name, columns[key]) for name, key in names}
        lengths = {len(column) for column in self._columns.values()}
        if len(lengths) > 1:
            raise TaskError("the columns of a table are not of one length", mend=_ONE_VALUE)
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
            TaskError: A column is not there, has a text, dates, durations or complex numbers, or a number
                that is not finite.
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
        _refuse_other_kinds(categories.column, column)
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
    _refuse_other_kinds(name, column)
    try:
        numbers = column.astype(np.float64)
    except (TypeError, ValueError):
        raise TaskError(f"the column {name!r} is not of numbers") from None
    except OverflowError:
        raise TaskError(f"the column {name!r} has a number that is too large for float64") from None
    if not np.isfinite(numbers).all():
        raise TaskError(f"the column {name!r} has a number that is not finite")
    return np.asarray(numbers)


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


_ONE_VALUE = "Give one value a row in each column: `{'age': [61, 47], 'ill': [1, 0]}`."
_KINDS: Mapping[str, tuple[type, ...]] = {
    "dates": (np.datetime64, datetime.date),
    "durations": (np.timedelta64, datetime.timedelta),
    "complex numbers": (np.complexfloating, complex),
}
"""Values that NumPy may turn into numbers, but without their unit or their imaginary part."""
_KINDS_OF_ARRAYS = dict(zip("Mmc", _KINDS, strict=True))


def _column(name: str, values: Any) -> npt.NDArray[Any]:
    """A column as an array, shape (rows,); masked values become None."""
    try:
        column = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # such as rows of several lengths
        raise TaskError(f"the column {name!r} cannot be made an array: {error}", mend=_ONE_VALUE) from None
    if column.ndim != 1:
        raise TaskError(
            f"the column {name!r} has {column.ndim} dimensions, and a column has one", mend=_ONE_VALUE
        )
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else np.zeros(0, bool)
    if mask.any():
        column = column.astype(object)
        column[mask] = None
    return column


def _refuse_other_kinds(name: str, column: npt.NDArray[Any]) -> None:
    found = _KINDS_OF_ARRAYS.get(column.dtype.kind)
    if column.dtype.kind == "O":
        kinds = {type(value) for value in column}
        found = next(
            (kind for kind, types in _KINDS.items() if any(issubclass(one, types) for one in kinds)), None
        )
    if found:
        raise TaskError(
            f"the column {name!r} is of {found}, and not of numbers or categories",
            mend="Make it numbers in the learner's code: of dates and durations, days "
            "(`column / np.timedelta64(1, 'D')`).",
        )


def _kinds(values: npt.NDArray[Any]) -> str:
    """Say whether all values are numbers or all are texts; empty for a mixture."""
    if values.dtype.kind in "biuf":
        return "numbers"
    texts = {isinstance(value, str | bytes) for value in values.tolist()}
    if len(texts) != 1:
        return ""
    return "texts" if texts.pop() else "numbers"


def _lacking(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if column.dtype.kind in "fc":
        return np.asarray(np.isnan(column))
    if column.dtype.kind in "mM":
        return np.asarray(np.isnat(column))
    if column.dtype.kind in "OUS":
        return np.fromiter((_is_missing(value) for value in column), bool, len(column))
    return np.zeros(len(column), bool)


def _is_missing(value: Any) -> bool:
    # By its name: pandas need not be installed, and its NA is neither equal to itself nor not.
    if value is None or value is np.ma.masked or type(value).__name__ == "NAType":
        return True
    if isinstance(value, str | bytes):
        return not value
    return bool(value != value)  # NaN and NaT


def grouped_sums(values: Floats, codes: Counts, number: int) -> Floats:
    """Sums of rows by group, shape (number, *values.shape[1:])."""
    sums = np.zeros((number, *values.shape[1:]))
    for code in range(number):
        sums[code] = values[codes == code].sum(axis=0)
    return sums
