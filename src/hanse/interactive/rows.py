"""A list of values that shows itself as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar, overload

from hanse.cli.output import printable
from hanse.interactive.columns import html_table

T = TypeVar("T")


class Rows(Sequence[T], Generic[T]):
    """Values in their order, shown a line each.

    Args:
        values: The values.
        columns: How each column is made of a value, by its head.
    """

    def __init__(self, values: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> None:
        self._values = tuple(values)
        self._columns = columns

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...

    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return Rows(self._values[place], self._columns)
        return self._values[place]

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        lines = [list(self._columns), *self._cells()]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self._columns))]
        padded = (map(str.ljust, line, widths) for line in lines)
        return "\n".join("  ".join(cells).rstrip() for cells in padded)

    def _repr_html_(self) -> str:
        return html_table(list(self._columns), self._cells())

    def _cells(self) -> list[list[str]]:
        return [[printable(cell(value)) for cell in self._columns.values()] for value in self._values]
