"""Each algorithm on tables by its plan file, simulated; the numbers are those of the sums at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.shelf import EXAMPLES, plan_of, write_plan, write_tables
from tests.tables import solved, total

from hanse.algorithms.registry import ALGORITHMS
from hanse.algorithms.regression import linear
from hanse.algorithms.result_tables import tables
from hanse.algorithms.statistics import contingency, naive_bayes, pca, summary
from hanse.algorithms.survival import kaplan_meier, log_rank
from hanse.algorithms.table_learner import TableLearner
from hanse.assembly.plan_file import load_plan
from hanse.core.plan.plan import Plan
from hanse.errors import HanseError, PlanError
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate


def simulated(folder: Path, name: str, **changes: Any) -> Outcome:
    plan = write_plan(folder, name, **changes)
    files = write_tables(folder, EXAMPLES[name].sites)
    sites = [VirtualSite(site, {"table": file}) for site, file in files.items()]
    state = folder / "state"
    state.mkdir()
    return simulate(load_plan(plan), sites, Settings(state, 0), lambda *_: None)


def together(outcome: Outcome, name: str) -> dict[str, Any]:
    """The arrays of all results of an algorithm."""
    assert all(result.startswith(name) for result in outcome.results)
    assert int(outcome.results[f"{name}_sample"]["sites"]) == len(EXAMPLES[name].sites)  # type: ignore[index, arg-type]
    statistics = {key: result for key, result in outcome.results.items() if not key.endswith("_sample")}
    return {key: array for result in statistics.values() for key, array in dict(result).items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_plan_file_gives_a_result_of_finite_numbers(tmp_path: Path, name: str) -> None:
    outcome = simulated(tmp_path, name)

    result = together(outcome, name)
    bounds = ("lower", "upper")  # of a curve, which has none where it is 1
    assert all(np.isfinite(value).all() for key, value in result.items() if key not in bounds)


@pytest.mark.parametrize("name", ["logistic_regression", "poisson_regression", "cox_regression"])
def test_newtons_method_ends_to_ask_once_a_step_is_the_last(tmp_path: Path, name: str) -> None:
    outcome = simulated(tmp_path, name)

    result = together(outcome, name)
    assert result["converged"] == 1
    assert len(outcome.run.exchanges) == 0  # those of a committed round are forgotten
    assert result["rounds"] == outcome.run.committed < EXAMPLES[name].settings["rounds"]
    assert outcome.model is not None
    assert outcome.model["beta"].tolist() == result["coefficients"].tolist()


_ONE_EXCHANGE = {
    "contingency": (contingency, lambda s, m, c: m.solve(s["counts"], c)),
    "kaplan_meier": (kaplan_meier, lambda s, m, c: m.solve(s["survival"], c)),
    "log_rank": (log_rank, lambda s, m, c: m.solve(s["survival"])),
}


@pytest.mark.parametrize("name", _ONE_EXCHANGE)
def test_the_result_is_to_the_bit_that_of_the_sums_at_hand(tmp_path: Path, name: str) -> None:
    module, solve = _ONE_EXCHANGE[name]
    example = EXAMPLES[name]
    settings = ALGORITHMS[name].settings.model_validate({**example.settings, "aggregated_by": "aggregator"})

    result = together(simulated(tmp_path, name), name)

    expected = solve(total(example.sites, lambda table: module.local(table, settings)), module, settings)
    assert result.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(result[key], value)


_AROUND_MEANS = {"summary": summary, "pca": pca, "naive_bayes": naive_bayes, "linear_regression": linear}


@pytest.mark.parametrize("name", _AROUND_MEANS)
def test_the_result_is_to_the_bit_that_of_the_sums_around_the_means(tmp_path: Path, name: str) -> None:
    example = EXAMPLES[name]
    settings = ALGORITHMS[name].settings.model_validate({**example.settings, "aggregated_by": "aggregator"})

    result = together(simulated(tmp_path, name), name)

    expected = solved(example.sites, _AROUND_MEANS[name], settings)
    assert result.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(result[key], value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_cohort_of_some_sites_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError, match=f"workflow {name} computes from the rows of all sites"):
        load_plan(write_plan(tmp_path, name, cohort={"fraction": 0.5}))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_plan_that_does_not_disclose_the_sums_is_refused(tmp_path: Path, name: str) -> None:
    long = load_plan(write_plan(tmp_path, name)).manifest.plan.model_dump(mode="json")
    (task,) = long["tasks"].values()
    group = next(iter(task["discloses"]["groups"]))
    task["discloses"] = {"metrics": ["loss"]}

    with pytest.raises(ValueError, match=f"workflow {name} needs `.*` to disclose the group `{group}`"):
        Plan.model_validate(long)


@pytest.mark.parametrize("name", EXAMPLES)
def test_who_combines_is_for_the_author_to_say(tmp_path: Path, name: str) -> None:
    algorithm = {"name": name, **EXAMPLES[name].settings}

    with pytest.raises(PlanError, match="lacks `aggregated_by`"):
        load_plan(write_plan(tmp_path, name, algorithm=algorithm))


def test_a_plan_without_the_settings_of_the_algorithm_fails_the_task() -> None:
    with pytest.raises(PlanError, match="have no settings of the algorithm kaplan_meier"):
        TableLearner({"a": [1.0]}, {}).survival({}, task=None)  # type: ignore[arg-type]


def test_a_column_that_a_site_lacks_fails_there(tmp_path: Path) -> None:
    algorithm = plan_of("pca")["algorithm"] | {"columns": ["age", "weight"]}

    with pytest.raises(HanseError, match="no column 'weight'"):
        simulated(tmp_path, "pca", algorithm=algorithm)


@pytest.mark.parametrize(
    "name", ["linear_regression", "logistic_regression", "poisson_regression", "cox_regression", "log_rank"]
)
def test_an_export_has_a_table_of_text_too(tmp_path: Path, name: str) -> None:
    outcome = simulated(tmp_path, name)

    assert name in tables(outcome.run.plan, outcome.results)


def test_the_text_of_a_summary_has_a_row_for_each_column(tmp_path: Path) -> None:
    algorithm = {"name": "summary", "columns": ["age", "chol"], "aggregated_by": "aggregator"}

    outcome = simulated(tmp_path, "summary", algorithm=algorithm)

    assert "summary" in tables(outcome.run.plan, outcome.results)
