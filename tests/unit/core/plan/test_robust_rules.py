"""Robust rules as a plan names them."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.robust_rules import RULES, AnyRobustRule, Krum, Median, RobustRule, TrimmedMean

ADAPTER: TypeAdapter[AnyRobustRule] = TypeAdapter(RobustRule)
WRITTEN: list[dict[str, Any]] = [
    {"rule": "median"},
    {"rule": "trimmed_mean", "trim": 0.1},
    {"rule": "geometric_median", "iterations": 3, "smoothing": 1e-4, "weights": "alike"},
    {"rule": "krum", "byzantine": 1, "keep": 3},
    {"rule": "norm_bounded_mean", "norm": 2.0, "weights": "alike"},
    {"rule": "centred_clipping", "norm": 2.0, "iterations": 9},
]


def test_a_name_is_short_for_a_rule_without_settings() -> None:
    assert ADAPTER.validate_python("median") == Median()


def test_a_rule_is_read_with_its_settings() -> None:
    assert ADAPTER.validate_python({"rule": "krum", "byzantine": 1}) == Krum(byzantine=1, keep=1)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("bulyan", "'krum'"),
        ("krum", "byzantine"),
        ({"rule": "median", "trim": 0.1}, "trim"),
        ({"byzantine": 1}, "'rule'"),
    ],
)
def test_what_is_no_rule_is_refused(written: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ADAPTER.validate_python(written)


@pytest.mark.parametrize("written", WRITTEN, ids=list(RULES))
def test_aggregation_names_the_same_rules_with_the_same_settings(written: dict[str, Any]) -> None:
    assert Aggregation.model_validate(written).robust == ADAPTER.validate_python(written)


@pytest.mark.parametrize("written", WRITTEN, ids=list(RULES))
def test_a_manifest_holds_a_rule_with_all_its_settings(written: dict[str, Any]) -> None:
    assert ADAPTER.dump_python(ADAPTER.validate_python(written)) == written


@pytest.mark.parametrize("rule", ["weighted_mean", "mean"])
def test_a_mean_is_not_robust(rule: str) -> None:
    assert Aggregation.model_validate({"rule": rule}).robust is None


@pytest.mark.parametrize("written", WRITTEN, ids=list(RULES))
def test_a_rule_tells_people_what_its_result_is(written: dict[str, Any]) -> None:
    words = ADAPTER.validate_python(written).in_words

    assert "site" in words
    assert all(f"{value:g}" in words for key, value in written.items() if key in {"trim", "keep", "norm"})


def test_a_rule_is_shown_as_a_plan_writes_it() -> None:
    assert Krum(byzantine=1, keep=3).shown == "{rule: krum, byzantine: 1, keep: 3}"


@pytest.mark.parametrize(
    ("rule", "fewest"),
    [
        (Median(), 1),
        (TrimmedMean(trim=0.2), 1),
        (Krum(byzantine=1), 5),
        (Krum(byzantine=3), 9),
        (Krum(byzantine=1, keep=9), 10),
    ],
)
def test_krum_needs_more_good_updates_than_bad_ones(rule: AnyRobustRule, fewest: int) -> None:
    assert rule.fewest == fewest
