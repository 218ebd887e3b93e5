"""What a site permits of groups: a combined one counts as an aggregated update, an individual one as that."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.plan.grouped_plans import BY_AGGREGATOR, disclosing, plan

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.policy import MaximalDisclosure, Policy, Verdict, decide, default_refusals

GROUPS = {"counts": {"int64": [2]}, "curve": {"float64": [2]}}
CELLS = {"north": list("abc"), "south": list("def")}


def refusals(rules: dict[str, Any], policy: dict[str, Any], **changes: Any) -> list[str]:
    """Why a site refuses a plan whose task discloses groups by these rules; empty where it accepts it."""
    changes = {"cohort": {"minimum": 3}} | changes
    made = plan(groups=GROUPS, tasks={"count": disclosing(**rules)}, **changes)
    files = (CodeFile(path="counting.py", sha256="0" * 64, size=1),)
    manifest = Manifest(plan=made, files=files)
    most = MaximalDisclosure.model_validate(policy)
    decision = decide(Policy(accept=("*",), discloses=most), manifest, manifest.digest, frozenset())
    return [] if decision.verdict is Verdict.ACCEPT else list(decision.reasons)


def test_combined_groups_leave_a_site_that_permits_sums() -> None:
    assert refusals({"counts": "total", "curve": "mean"}, {}) == []


def test_individual_ones_leave_only_where_individual_updates_do() -> None:
    (reason,) = refusals({"counts": "individual"}, {})

    assert reason == "task count discloses the group counts: individual; this site permits aggregate"
    assert refusals({"counts": "individual"}, {"update": "individual"}) == []


@pytest.mark.parametrize(
    ("rule", "shown"),
    [("total", "total"), ("median", "median"), ({"rule": "trimmed_mean", "trim": 0.2}, "0.2")],
)
def test_where_nothing_but_metrics_may_leave_no_group_does(rule: Any, shown: str) -> None:
    (reason,) = refusals({"curve": rule}, {"update": "none"})

    assert reason.startswith("task count discloses the group curve: ")
    assert shown in reason
    assert reason.endswith("this site permits none")


def test_a_sum_of_too_few_sites_is_refused_with_the_line_to_add() -> None:
    (reason,) = refusals({"counts": "total"}, {}, cohort={"minimum": 2})

    assert "this site's values go into sums of 3 or more only" in reason
    assert "the plan needs the line `cohort: {minimum: 3}`" in reason


def test_in_a_plan_with_cells_the_smallest_sum_is_that_of_a_cell() -> None:
    (reason,) = refusals({"counts": "total"}, {"at_least": 5}, cells=CELLS, cohort={"minimum": 6})

    assert "(`cohort: {cell_minimum: 3}`)" in reason
    assert "the line `cohort: {cell_minimum: 5}`" in reason
    assert refusals({"counts": "total"}, {}, cells=CELLS, cohort={"minimum": 1}) == []


def test_a_choice_of_fewer_sites_than_a_sum_has_is_refused() -> None:
    krum = {"rule": "krum", "byzantine": 1}

    (reason,) = refusals({"curve": krum}, {}, cohort={"minimum": 5})

    assert "one update that Krum chooses (`keep: 1`)" in reason
    assert "groups: {curve: {rule: krum, byzantine: 1, keep: 3}}" in reason


def test_what_sites_refuse_by_default_is_said_where_the_plan_is_written() -> None:
    made = plan(
        groups=GROUPS, cells=CELLS, cohort={"cell_minimum": 2}, tasks={"count": disclosing(counts="total")}
    )

    (told,) = default_refusals(made)

    assert "Add to the plan: `cohort: {cell_minimum: 3}`" in told


def test_no_first_model_is_asked_of_a_site_where_the_plan_has_none() -> None:
    none = {"initial_model": "none", "tasks": {"count": {"receives": [], "discloses": BY_AGGREGATOR}}}
    none["tasks"]["count"]["discloses"] |= {"groups": {"counts": "total"}}  # type: ignore[index]
    files = (CodeFile(path="counting.py", sha256="0" * 64, size=1),)
    manifest = Manifest(plan=plan(groups=GROUPS, cohort={"minimum": 3}, **none), files=files)
    strict = Policy(accept=("*",), discloses=MaximalDisclosure(first_model=False))

    assert decide(strict, manifest, manifest.digest, frozenset()).verdict is Verdict.ACCEPT
