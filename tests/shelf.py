"""A plan of each algorithm on tables, with real data at its sites."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.tables import Columns, brca, heart, pooled

CODE = """\
import numpy as np
import hanse

def learner(site):
    table = np.genfromtxt(site.data["table"], delimiter=",", names=True)
    return hanse.TableLearner({name: table[name] for name in table.dtype.names}, site.options)
"""

_ILL = {"column": "ill", "categories": [0, 1]}
_EXANG = {"column": "exang", "categories": [0, 1]}
_EVENTS = {"time": "days", "event": "event", "horizon": 8700}


@dataclass(frozen=True)
class Example:
    """Settings of an algorithm, and whose data they are for."""

    settings: Mapping[str, Any]
    data: str = "heart"
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sites(self) -> dict[str, Columns]:
        return heart() if self.data == "heart" else brca()


def _event_times() -> list[float]:
    rows = pooled(brca())
    return sorted(set(rows["days"][rows["event"] == 1].tolist()))


EXAMPLES: dict[str, Example] = {
    "summary": Example(
        {
            "columns": ["age", "chol", "oldpeak"],
            "by": {"column": "sex", "categories": [0, 1]},
            "ranges": {"chol": [0, 700], "age": [0, 100]},
            "correlation": True,
        }
    ),
    "quantiles": Example({"ranges": {"chol": [0, 700], "age": [0, 100]}, "quantiles": [0.5, 0.9]}),
    "contingency": Example({"rows": {"column": "cp", "categories": [1, 2, 3, 4]}, "columns": _ILL}),
    "pca": Example({"columns": ["age", "trestbps", "chol", "thalach"], "scale": True}),
    "kmeans": Example(
        {"columns": ["age", "thalach"], "centres": [[40, 170], [60, 110], [55, 150]], "rounds": 5}
    ),
    "naive_bayes": Example({"columns": ["age", "thalach", "oldpeak"], "outcome": _ILL}),
    "meta_analysis": Example({"effect": "mean_difference", "outcome": "thalach", "group": _EXANG}),
    "linear_regression": Example({"outcome": "thalach", "features": ["age", "sex", "chol"]}),
    "logistic_regression": Example(
        {"outcome": _ILL, "features": ["age", "sex", "thalach", "oldpeak"], "rounds": 9}
    ),
    "poisson_regression": Example({"outcome": "num", "features": ["age", "sex", "thalach"], "rounds": 9}),
    "kaplan_meier": Example({**_EVENTS, "by": {"column": "t2", "categories": [0, 1]}}, "brca"),
    "log_rank": Example({**_EVENTS, "by": {"column": "t2", "categories": [0, 1]}}, "brca"),
    "cox_regression": Example(
        {
            "time": "days",
            "event": "event",
            "times": _event_times(),
            "features": ["age", "white", "t2"],
            "rounds": 8,
        },
        "brca",
    ),
}
"""By the name of the algorithm."""


def plan_of(name: str, **changes: Any) -> dict[str, Any]:
    """A plan file of an algorithm."""
    example = EXAMPLES[name]
    return {
        "name": name.replace("_", "-"),
        "code": ["tables.py"],
        "learner": "tables:learner",
        "data": ["table"],
        "algorithm": {"name": name, **example.settings, "aggregated_by": "aggregator"},
        **example.plan,
        **changes,
    }


def write_plan(folder: Path, name: str, **changes: Any) -> Path:
    """Write the plan file of an algorithm and its code; gives the file."""
    (folder / "tables.py").write_text(CODE)
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(plan_of(name, **changes)))
    return file


def write_tables(folder: Path, sites: Mapping[str, Columns]) -> dict[str, Path]:
    """Write the rows of each site to a file of its own; gives the files by site."""
    files = {site: folder / f"{site}.csv" for site in sites}
    for site, columns in sites.items():
        with files[site].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return files
