"""Statistics by `hanse.simulate`: what their runs, errors and tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.errors import ConfigError, PlanError, QuorumError, StorageError
from hanse.interactive.simulated_run import SimulatedRun

SEX = {"column": "sex", "categories": ["f", "m"]}
LOGISTIC = {
    "name": "logistic_regression",
    "features": ["age", SEX],
    "outcome": {"column": "ill", "categories": [0, 1]},
    "aggregated_by": "aggregator",
}
SUMMARY = {"name": "summary", "columns": ["t", "age"], "aggregated_by": "aggregator"}


def table(seed: int, **changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    age = random.normal(60, 10, 80)
    columns = {
        "age": age,
        "sex": random.choice(["f", "m"], 80),
        "ill": (random.random(80) < 1 / (1 + np.exp((60 - age) / 10))).astype(int),
        "t": random.integers(1, 5, 80),
    }
    return {"data": columns | changes}


def learner(site: hanse.Site) -> hanse.TableLearner:
    return hanse.TableLearner(site.data["data"], site.options)


def simulate(algorithm: dict[str, Any], **sites: Any) -> SimulatedRun:
    return hanse.simulate(learner, sites or {"a": table(1), "b": table(2)}, algorithm=algorithm)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [(LOGISTIC, "the plan has no task 'train'"), (SUMMARY, "by the plan the run has none")],
)
def test_baselines_of_statistics_are_refused(algorithm: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        simulate(algorithm).baselines()


def test_the_history_has_no_rounds_that_asked_nothing() -> None:
    run = simulate(LOGISTIC)

    assert len(run.history["round"]) == run.results["logistic_regression_fit"]["rounds"]


def test_an_error_in_the_data_is_told_once_without_lines_of_hanse() -> None:
    with pytest.raises(QuorumError) as caught:
        simulate(SUMMARY, a=table(1, age=np.full(80, np.nan)), b=table(2))

    assert str(caught.value).count("there are rows without a value in 'age' (80 rows)") == 1
    assert "table.py" not in str(caught.value)
    assert not getattr(caught.value, "__notes__", [])


def test_a_table_is_a_data_frame_with_names_on_its_rows() -> None:
    table = simulate(LOGISTIC).table("logistic_regression")

    assert table["term"].tolist() == ["intercept", "age", "sex=m"]


def test_a_table_is_a_mapping_of_columns_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.interactive.columns.find_spec", lambda _: None)

    table = simulate(SUMMARY).table("summary")

    assert table["column"].tolist() == ["t", "age"]
    assert repr(table).split()[:6] == ["column", "count", "mean", "sd", "variance", "t"]


def test_an_unknown_table_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no table 'means' of the results\. The tables: summary"):
        simulate(SUMMARY).table("means")


def test_results_are_written_with_their_tables(tmp_path: Path) -> None:
    hanse.simulate(learner, {"a": table(1)}, algorithm=SUMMARY, output=tmp_path)

    head, first, *_ = (tmp_path / "results" / "summary.csv").read_text().splitlines()
    assert (head, first[:5]) == ("column,count,mean,sd,variance", "t,80,")


def test_who_loads_the_model_of_a_run_without_one_is_told_how_to_read_its_results(tmp_path: Path) -> None:
    hanse.simulate(learner, {"a": table(1)}, algorithm=SUMMARY, output=tmp_path)

    with pytest.raises(StorageError, match=r"which NumPy reads: numpy\.load\('.*summary\.npz'\)"):
        hanse.load(tmp_path)


def test_statistics_are_drawn_by_their_results() -> None:
    pytest.importorskip("matplotlib")

    (axis,) = simulate(LOGISTIC).plot("results").axes

    assert [label.get_text() for label in axis.get_yticklabels()] == ["age", "sex=m"]
