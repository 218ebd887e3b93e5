"""Rows of reference values: one image each, with all its registers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

RowName = Annotated[
    str,
    Field(min_length=1, max_length=100, description="Name of the image, for people, such as `hanse-0.2.1`."),
]


def check_row_names(names: Iterable[str]) -> None:
    """Hold that no two rows have one name.

    Raises:
        ValueError: Two have; verdicts name the row.
    """
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} rows have the name {name!r}: verdicts name the row")
