"""First and second moments of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hanse.algorithms.pooled_rows import without_rounding
from hanse.algorithms.table import Floats, Table, TableSettings
from hanse.core.values.groups import Group


def moments(
    table: Table, columns: tuple[str, ...], settings: TableSettings, centre: Floats
) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site, around a centre of shape (columns,).

    Returns:
        The number of rows, and the group `moments`: `count`, shape (); `sum`, (columns,); `products`,
        (columns, columns).
    """
    rows = table.complete(columns, settings.missing)
    values = rows.numbers(columns) - centre
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


def mean_and_covariance(group: Mapping[str, Any], centre: Floats) -> tuple[Floats, Floats]:
    """Mean, shape (columns,), and covariance of a sample, (columns, columns), of at least two rows.

    Args:
        group: What `moments` gives, added over the sites.
        centre: What the sums are around.
    """
    n = float(group["count"])
    away = group["sum"] / n
    covariance = (group["products"] - n * np.outer(away, away)) / (n - 1)
    np.fill_diagonal(covariance, without_rounding(np.diagonal(covariance), centre + away))
    return centre + away, covariance
