"""Cells of a masked sum: how many members, how many cells, and the share of one site."""

from typing import Any

import pytest
from tests.unit.core.plan.privacy.secure_plans import TRAIN, refusals, summing

from hanse.core.plan.privacy.cells import largest_share
from hanse.core.plan.privacy.secure_aggregation import ExampleBounds

ALIKE = {"examples": None, "ready_after": None}


def cells(*sizes: int) -> dict[str, list[str]]:
    return {
        f"cell-{number}": [f"site-{number}-{member}" for member in range(size)]
        for number, size in enumerate(sizes)
    }


def test_a_plan_without_cells_is_told_which_command_writes_them() -> None:
    assert refusals(cells={}) == [
        "cells: secure aggregation sums over fixed cells, and the plan has none: `hanse plan cells plan.yaml "
        "--sites FILE` writes `cells` for the sites of a list"
    ]


@pytest.mark.parametrize(
    ("sizes", "section", "cohort", "reason"),
    [
        ((2, 4), {}, {}, "`cell-0` has 2 members, and needs 3 by `cohort: {cell_minimum: 3}`"),
        ((4, 3), {}, {"minimum": 4}, "`cell-1` has 3 members, and needs 4 by `cohort: {minimum: 4}`"),
        ((4,), {}, {"cell_minimum": 5}, "`cell-0` has 4 members, and needs 5 by `cohort: {cell_minimum: 5}`"),
        ((4,), {"colluders": 3}, {}, "`cell-0` has 4 members, and needs 5 by `colluders: 3`, and two others"),
        ((65,), {}, {}, "`cell-0` has 65 members, at most 64 are possible: `hanse plan cells plan.yaml"),
    ],
)
def test_a_cell_has_as_many_members_as_hide_one(
    sizes: tuple[int, ...], section: dict[str, Any], cohort: dict[str, Any], reason: str
) -> None:
    (problem,) = refusals(ALIKE | section, cells=cells(*sizes), cohort=cohort, aggregation={"rule": "mean"})
    assert problem.startswith("cells.cell-")
    assert reason in problem


def test_a_weighted_mean_that_could_be_mostly_one_site_is_refused_with_bounds_that_do() -> None:
    (problem,) = refusals({"examples": {"least": 100, "most": 1000}})
    assert problem == (
        "privacy.secure_aggregation.examples: one site of 4 may be 83.3% of a weighted mean, 1 colluder "
        "subtracted, and `max_share: 0.5` permits 50.0%: write `most: 200`, or `least: 500`, or `rule: "
        "mean`, by which sites count alike"
    )
    assert refusals({"examples": {"least": 500, "most": 1000}}) == []
    assert refusals({"examples": {"least": 100, "most": 200}}) == []
    assert refusals({"examples": {"least": 100, "most": 1000, "max_share": 0.9}}) == []


def test_the_share_is_that_of_the_smallest_cell() -> None:
    assert refusals(cells=cells(4, 8)) == []
    assert "one site of 3 may be 66.7%" in refusals(cells=cells(3, 8))[0]


def test_colluders_are_subtracted_from_those_who_share() -> None:
    bounds = ExampleBounds(least=100, most=100)
    assert largest_share(bounds, members=10, colluders=0) == pytest.approx(1 / 10)
    assert largest_share(bounds, members=10, colluders=3) == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    ("rule", "sizes", "need"),
    [
        ({"rule": "median"}, (4, 4), 3),
        ({"rule": "krum", "byzantine": 1}, (4, 4, 4, 4), 5),
        ({"rule": "geometric_median", "weights": "alike"}, (4,), 3),
    ],
)
def test_a_robust_rule_needs_as_many_cells_as_it_would_need_sites(
    rule: dict[str, Any], sizes: tuple[int, ...], need: int
) -> None:
    (problem,) = refusals(ALIKE, cells=cells(*sizes), aggregation=rule)
    assert problem.startswith(
        f"aggregation.rule: `{rule['rule']}` looks at single results, which are the sums"
    )
    assert f"it needs {need} cells, and the plan has {len(sizes)}: write {need} cells or more" in problem
    assert refusals(ALIKE, cells=cells(*[4] * need), aggregation=rule) == []


def test_a_robust_rule_of_a_group_needs_cells_too() -> None:
    changes: dict[str, Any] = {
        "tasks": {"train": TRAIN, "count": summing(counts="median")},
        "groups": {"counts": {"int64": [3], "range": [0, 100]}},
    }
    (problem,) = refusals(cells=cells(4, 4), **changes)
    assert problem.startswith("tasks.count.discloses.groups.counts: `median` looks at single results")
    assert refusals(cells=cells(4, 4, 4), **changes) == []


def test_where_rounds_draw_some_cells_these_have_to_be_enough() -> None:
    (problem,) = refusals(
        ALIKE, cells=cells(4, 4, 4, 4), aggregation={"rule": "median"}, cohort={"fraction": 0.5}
    )
    assert "it needs 3 cells, and a round asks 2" in problem
