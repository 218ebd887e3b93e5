"""Cohort of a round: of whole cells where sums are masked."""

from typing import Any

from tests.unit.core.plan.plans import plan
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.cohort import select
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cohort import askable, select_cohort

CELLS = {name: tuple(f"{name}{number}" for number in range(4)) for name in "efgh"}
SITES = tuple(site for members in CELLS.values() for site in members)


def in_cells(**cohort: Any) -> Plan:
    return secure_plan(cells=CELLS, cohort={"minimum": 4, **cohort})


def test_a_plan_without_masked_sums_draws_sites() -> None:
    plain = plan(cohort={"fraction": 0.5})
    assert select_cohort(plain, 3, SITES, {"e1"}) == select(plain.cohort, plain.seed, 3, SITES, {"e1"})


def test_a_round_draws_whole_cells() -> None:
    drawn = [select_cohort(in_cells(fraction=0.5), number, SITES)[0] for number in range(1, 9)]
    for cohort in drawn:
        assert sorted(site for site in SITES if site[0] in {s[0] for s in cohort}) == sorted(cohort)
        assert len(cohort) == 8
    assert len(set(drawn)) > 1


def test_the_same_seed_draws_the_same_cells() -> None:
    once = select_cohort(in_cells(fraction=0.25), 5, SITES)
    assert select_cohort(in_cells(fraction=0.25), 5, reversed(SITES)) == once


def test_a_cell_that_lacks_a_member_is_not_asked() -> None:
    cohort, without = select_cohort(in_cells(), 1, [site for site in SITES if site != "f2"])
    assert {site[0] for site in cohort} == {"e", "g", "h"}
    assert without == ()


def test_a_cell_with_a_suspended_member_is_not_asked_and_that_member_is_named() -> None:
    cohort, without = select_cohort(in_cells(), 1, SITES, {"g0"})
    assert {site[0] for site in cohort} == {"e", "f", "h"}
    assert without == ("g0",)


def test_another_cell_takes_the_place_of_one_with_a_suspended_member() -> None:
    drawn, _ = select_cohort(in_cells(fraction=0.5), 1, SITES)
    cohort, without = select_cohort(in_cells(fraction=0.5), 1, SITES, {drawn[0]})
    assert len(cohort) == 8
    assert drawn[0] not in cohort
    assert without == ()


def test_as_many_cells_are_drawn_as_have_the_fewest_sites_of_a_round() -> None:
    cells = {"small": ("a", "b", "c", "d"), "large": tuple(f"z{number}" for number in range(8))}
    agreed = secure_plan(cells=cells, cohort={"minimum": 4, "fraction": 0.1})
    sites = [site for members in cells.values() for site in members]
    assert {len(select_cohort(agreed, number, sites)[0]) for number in range(1, 20)} == {4, 8}


def test_sites_outside_of_whole_cells_cannot_be_asked() -> None:
    assert askable(in_cells(), {"e0", "e1", "e2", "e3", "f0"}) == 4
    assert askable(plan(), {"e0", "e1"}) == 2
