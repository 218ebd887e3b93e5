"""Several cells: one sum over all of them, and robust rules over their means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.updates.secure_sums.plans import UPDATE, plan_of
from tests.unit.updates.secure_sums.sums import Answer, masked_sum

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import specs
from hanse.errors import QuorumError

CELLS = {"north": ("a", "b", "c"), "south": ("d", "e", "f", "g"), "west": ("h", "i", "j")}
MANY = tuple("abcdefghij")


def many(values: Mapping[str, float]) -> dict[str, Answer]:
    return {
        site: Answer({"w": np.array([values[site]]), "@n": np.array([1]), "@m": np.array([values[site]])},
                     10 + 5 * index, {"loss": values[site]})
        for index, site in enumerate(MANY)
    }  # fmt: skip


GROUPS = {"n": {"int64": [1], "range": [0, 5]}, "m": {"float64": [1], "range": [-9, 9]}}


@pytest.mark.parametrize("rule", ["mean", "weighted_mean"])
def test_cells_together_are_one_sum_over_all_sites(tmp_path: Path, rule: str) -> None:
    values = {site: index / 10 for index, site in enumerate(MANY)}
    discloses = UPDATE | {"groups": {"n": "total", "m": "mean"}, "metrics": ("loss",)}
    plan = plan_of(discloses, aggregation={"rule": rule}, groups=GROUPS, cells=CELLS)
    weights = [10 + 5 * index if rule == "weighted_mean" else 1 for index in range(10)]

    opened = masked_sum(plan, Received(specs({"w": np.zeros(1)})), many(values), tmp_path)

    found = opened.aggregate
    expected = float(np.average(list(values.values()), weights=weights))
    assert np.allclose((found.delta or {})["w"], expected, atol=1e-7)
    assert np.asarray(found.groups["n"]).tolist() == [10]
    assert np.allclose(found.groups["m"], 0.45, atol=1e-6)
    assert found.metrics["loss"] == pytest.approx(expected, abs=1e-5)
    assert (found.sites, opened.figures.keys()) == (MANY, CELLS.keys())
    assert found.num_examples == (sum(weights) if rule == "weighted_mean" else 10)


def test_a_robust_rule_takes_the_mean_of_each_cell_for_a_site(tmp_path: Path) -> None:
    values = dict.fromkeys(MANY, 0.1) | dict.fromkeys("abc", 0.2) | {"h": -0.9}
    plan = robust_plan(UPDATE | {"groups": {"m": "median"}}, Aggregation(rule="median"))

    found = masked_sum(plan, Received(specs({"w": np.zeros(1)})), robust_answers(values), tmp_path).aggregate

    assert np.allclose((found.delta or {})["w"], 0.1, atol=1e-7)  # of 0.2, 0.1 and -0.23
    assert np.allclose(found.groups["m"], 0.1, atol=1e-6)


def robust_plan(discloses: dict[str, Any], aggregation: Aggregation) -> Plan:
    plan = plan_of(
        discloses, aggregation={"rule": "mean"}, groups=GROUPS, cells=CELLS, secure={"examples": None}
    )
    return plan.model_copy(update={"aggregation": aggregation})


def robust_answers(values: Mapping[str, float]) -> dict[str, Answer]:
    return {
        site: Answer({name: array for name, array in (answer.tensors or {}).items() if name != "@n"})
        for site, answer in many(values).items()
    }


def test_a_robust_rule_needs_cells_as_it_needs_sites(tmp_path: Path) -> None:
    plan = robust_plan(UPDATE | {"groups": {"m": "mean"}}, Aggregation(rule="krum", byzantine=1))

    with pytest.raises(QuorumError):
        masked_sum(
            plan, Received(specs({"w": np.zeros(1)})), robust_answers(dict.fromkeys(MANY, 0.1)), tmp_path
        )


def test_whole_numbers_stay_out_of_the_vector_of_a_robust_rule(tmp_path: Path) -> None:
    answers = {site: Answer({"w": np.array([0.1]), "steps": np.array([5])}) for site in MANY}
    plan = plan_of(
        UPDATE,
        aggregation={"rule": "norm_bounded_mean", "norm": 1.0, "weights": "alike"},
        cells=CELLS,
        secure={"examples": None, "model": {"clip": 1.0, "integers": (0, 10)}},
    )

    delta = (
        masked_sum(plan, Received(specs(answers["a"].tensors or {})), answers, tmp_path).aggregate.delta or {}
    )

    assert np.allclose(delta["w"], 0.1, atol=1e-7)
    assert np.asarray(delta["steps"]).tolist() == [5]
