"""First and second moments of columns, as several algorithms send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hanse.algorithms.table import Floats, Table, TableSettings
from hanse.core.values.groups import Group


def moments(table: Table, columns: tuple[str, ...], settings: TableSettings) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Returns:
        The number of rows, and the group `moments`: `count`, shape (); `sum`, (columns,); `products`,
        (columns, columns).
    """
    rows = table.complete(columns, settings.missing)
    values = rows.numbers(columns)
    group = {
        "count": np.array(len(rows), np.int64),
        "sum": values.sum(axis=0),
        "products": values.T @ values,
    }
    return len(rows), {"moments": group}


def moment_shapes(columns: tuple[str, ...]) -> dict[str, Any]:
    """The group `moments` as a plan declares it."""
    p = len(columns)
    return {"count": {"int64": []}, "sum": {"float64": [p]}, "products": {"float64": [p, p]}}


def mean_and_covariance(group: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Mean, shape (columns,), and covariance of a sample, (columns, columns), of at least two rows."""
    n = float(group["count"])
    mean = group["sum"] / n
    return mean, (group["products"] - n * np.outer(mean, mean)) / (n - 1)
