"""Built-in workflows on tables in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.algorithms.presets import expanded
from hanse.config.document import Document
from hanse.config.show import describe
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

SEX: dict[str, Any] = {"column": "sex", "categories": ["f", "m"]}
CURVE = {"time": "days", "event": "died", "horizon": 30}


def told(name: str, **settings: Any) -> str:
    """What `hanse plan show` says of an algorithm's plan."""
    keys: dict[str, Any] = {
        "name": "trial",
        "code": ["table.py"],
        "learner": "table:learner",
        "cohort": {"minimum": 3},
        "algorithm": {"name": name, "aggregated_by": "aggregator", **settings},
    }
    plan = expanded(Document("plan.yaml", keys, {}, PlanError)).check(Plan)
    manifest = Manifest(plan=plan, files=(CodeFile(path="table.py", sha256="0" * 64, size=1),))
    return describe(manifest, manifest.digest)


def test_counts_are_said_in_words_with_their_categories() -> None:
    assert (
        "    (In survival are numbers of events and of rows that leave observation, by time, for each "
        "category of sex; some of them may be of a single person.)\n"
    ) in told("kaplan_meier", **CURVE, by=SEX)


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("kaplan_meier", {**CURVE, "by": SEX}, "are of these columns: days, died and sex."),
        ("linear_regression", {"outcome": "weight", "features": ["age", SEX]}, "age, sex and weight."),
        ("quantiles", {"ranges": {"age": [0, 120]}}, "are of these columns: age."),
    ],
)
def test_the_columns_are_named(name: str, settings: dict[str, Any], line: str) -> None:
    assert line in told(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("contingency", {"rows": SEX, "columns": {"column": "ill", "categories": [0, 1]}}),
        ("quantiles", {"ranges": {"age": [0, 120]}}),
        ("summary", {"columns": ["age"], "by": SEX}),
    ],
)
def test_where_numbers_may_be_of_one_person_it_says_so(name: str, settings: dict[str, Any]) -> None:
    assert "some of them may be of a single person" in told(name, **settings)


def test_sums_over_all_rows_have_no_such_words() -> None:
    assert "single person.)" not in told("linear_regression", outcome="weight", features=["age"])


def test_it_says_who_gets_the_results() -> None:
    assert "Its results go to the operators, who can export them" in told("summary", columns=["age"])


def test_one_round_and_one_number_are_said_in_the_singular() -> None:
    text = told("summary", columns=["age"])

    assert "\n  1 round, with all sites, at least 3.\n" in text
    assert "moments: count 1 x 1 whole number, " in text
