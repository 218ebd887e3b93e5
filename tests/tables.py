"""Real tables by site: heart disease at four hospitals, and breast cancer survival in six regions."""

from __future__ import annotations

import csv
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import hanse
from hanse.algorithms.table import Table
from hanse.core.values.groups import Group

_HEART = Path(hanse.__file__).parent / "data" / "heart_disease"
_BRCA = Path(__file__).parent / "data" / "tcga_brca"

HEART_COLUMNS = (
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "num",
)
BRCA_COLUMNS = ("age", "white", "stage_iia", "t2", "edition_6th", "synchronous")

Columns = dict[str, np.ndarray[Any, Any]]


@functools.cache
def heart() -> dict[str, Columns]:
    """Patients with every value but of slope, ca and thal; `ill` is 1 where a disease was found."""
    sites = {}
    for path in sorted(_HEART.glob("*.csv")):
        table = np.genfromtxt(path, delimiter=",", names=True)
        table = table[~np.any([np.isnan(table[name]) for name in HEART_COLUMNS], axis=0)]
        columns = {name: table[name].copy() for name in HEART_COLUMNS}
        sites[path.stem] = {**columns, "ill": (table["num"] > 0).astype(np.float64)}
    return sites


@functools.cache
def brca() -> dict[str, Columns]:
    """Patients with some covariates, `event` (1 or 0) and `days`."""
    with (_BRCA / "centers.csv").open(encoding="utf-8") as file:
        regions = {row["TSS Code"]: row["Region"] for row in csv.DictReader(file)}
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (_BRCA / "brca.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[regions[row["pid"][5:7]].lower()].append(row)
    del rows["other"]
    named = {
        "age": "age_at_index",
        "white": "race_white",
        "stage_iia": "ajcc_pathologic_stage_Stage IIA",
        "t2": "ajcc_pathologic_t_T2",
        "edition_6th": "ajcc_staging_system_edition_6th",
        "synchronous": "synchronous_malignancy_Not Reported",
        "event": "E",
        "days": "T",
    }
    return {
        site: {name: np.array([float(row[key]) for row in rows[site]]) for name, key in named.items()}
        for site in sorted(rows)
    }


def pooled(sites: Mapping[str, Columns]) -> Columns:
    """The rows of all sites as one table."""
    names = next(iter(sites.values()))
    return {name: np.concatenate([columns[name] for columns in sites.values()]) for name in names}


def total(sites: Mapping[str, Columns], local: Callable[[Table], tuple[int, dict[str, Group]]]) -> Any:
    """What the sites' groups add up to, added as totals are: whole numbers exactly, others in site order."""
    answers = [local(Table(columns))[1] for columns in sites.values()]
    return {group: _added(answer[group] for answer in answers) for group in answers[0]}


def around_means(sites: Mapping[str, Columns], module: Any, settings: Any) -> tuple[Any, Any]:
    """The sums of a module's `local` around the means that it finds from sums around its first centre."""
    first = module.first_centre(settings)
    if not getattr(settings, "intercept", True):
        return total(sites, lambda table: module.local(table, settings, first)), first
    centre = module.means(total(sites, lambda table: module.local(table, settings, first)), first)
    return total(sites, lambda table: module.local(table, settings, centre)), centre


def solved(sites: Mapping[str, Columns], module: Any, settings: Any) -> Any:
    """What a module's `solve` makes of sums around means."""
    sums, centre = around_means(sites, module, settings)
    return module.solve(sums, settings, centre)


def _added(groups: Iterable[Any]) -> Any:
    first, *others = groups
    if isinstance(first, Mapping):
        return {name: _added([first[name], *(other[name] for other in others)]) for name in first}
    return functools.reduce(np.add, others, first)
