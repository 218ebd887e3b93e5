"""Results of a run as tables, a row a number or a few: what `.csv` files and data frames are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hanse.core.plan.plan import Plan
from hanse.core.values.groups import Group, Groups
from hanse.core.values.parameters import Array

Columns = Mapping[str, Array]
"""A table: vectors of one length by the head of their column; of text, dtype object."""

Tables = Mapping[str, Columns]
"""Tables by name, which is that of their `.csv` file."""

TableMaker = Callable[[Plan, Groups], Tables]
"""Makes the tables of results, with the names of columns and categories that the plan has."""

MOST_ROWS = 1_000_000
"""Rows of the longest table, about what spreadsheets hold; longer ones are left to `.npz` files."""

_USER_DEFINED = 256
"""Number of the first dtype that NumPy itself does not have, `NPY_USERDEF` in its headers."""


def arrays_of(name: str, value: Group) -> dict[str, Array]:
    """The arrays of a result by name, in dtypes that NumPy reads without further packages."""
    found = dict(value) if isinstance(value, Mapping) else {name: value}
    return {key: readable(np.asarray(array)) for key, array in found.items()}


def readable(array: Array) -> Array:
    """The same numbers in a dtype that NumPy reads without further packages: of bfloat16, float32."""
    return array.astype(np.float32) if array.dtype.num >= _USER_DEFINED else array


def long_table(axes: Mapping[str, Sequence[Any]], arrays: Mapping[str, Array]) -> Columns:
    """Arrays of one shape as a table with a row for each place in them.

    Args:
        axes: The labels along each axis, by the head of the column that has them.
        arrays: Arrays by the head of their column, each of the shape `tuple(map(len, axes.values()))`.

    Returns:
        A column for each axis, then one for each array; the last axis changes from row to row.
    """
    shape = tuple(len(labels) for labels in axes.values())
    columns: dict[str, Array] = {}
    for place, (head, labels) in enumerate(axes.items()):
        along = [-1 if axis == place else 1 for axis in range(len(shape))]
        columns[head] = np.broadcast_to(_labels(labels).reshape(along), shape).ravel()
    return columns | {head: np.asarray(array).reshape(-1) for head, array in arrays.items()}


def plain_tables(results: Groups, *, apart: bool = False) -> dict[str, Columns]:
    """Results as tables by their shapes alone, for results of which nothing else is known.

    Vectors of one length, or numbers alone, are one table of the result's name. Else each array of one or
    two dimensions is a table `NAME-ARRAY`, and the numbers are one of the result's name: a vector has a
    column of its name; a matrix its own columns, with their numbers from 0 as heads. Arrays of more
    dimensions, and of more than `MOST_ROWS` rows, are in no table.

    Args:
        results: The results.
        apart: Whether each array is to be a table of its own, since `NAME` is another table.
    """
    tables: dict[str, Columns] = {}
    for name, value in results.items():
        arrays = arrays_of(name, value)
        shapes = {array.shape for array in arrays.values()}
        together = len(shapes) == 1 and all(len(shape) <= 1 for shape in shapes)
        if together and not apart:
            tables[name] = {key: array.reshape(-1) for key, array in arrays.items()}
            continue
        numbers = {key: array.reshape(-1) for key, array in arrays.items() if array.ndim == 0}
        if numbers:
            tables[f"{name}-numbers" if apart else name] = numbers
        for key, array in arrays.items():
            if array.ndim in (1, 2):
                own = f"{name}-{key}" if isinstance(value, Mapping) else name
                if own == name or own not in results:  # another result may have that very name
                    tables[own] = _by_column(key, array)
    return {name: columns for name, columns in tables.items() if rows_of(columns) <= MOST_ROWS}


def tables_of_shapes(_plan: Plan, results: Groups) -> Tables:
    """`plain_tables`, as a `TableMaker`."""
    return plain_tables(results)


def rows_of(columns: Columns) -> int:
    """Number of rows of a table."""
    return len(next(iter(columns.values()), ()))


def _by_column(name: str, array: Array) -> Columns:
    if array.ndim == 1:
        return {name: array}
    return {str(place): array[:, place] for place in range(array.shape[1])}


def _labels(labels: Sequence[Any]) -> Array:
    if any(isinstance(label, str) for label in labels):
        return np.array([str(label) for label in labels], object)
    return np.asarray(labels)
