"""Functions in place of those that a plan names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.load import LoadedPlan, load_plan
from hanse.errors import PlanError
from hanse.simulation.functions import ReportedMetrics

PLAN = """
name: adding
code: [adding.py]
learner: adding:learner
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
  evaluate: {}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPlan:
    (tmp_path / "plan.yaml").write_text(PLAN, "utf-8")
    (tmp_path / "adding.py").write_text("def learner(site): ...\n", "utf-8")
    return load_plan(tmp_path / "plan.yaml")


def test_what_a_learner_reports_is_declared_once(loaded: LoadedPlan) -> None:
    reports = ReportedMetrics(loaded, frozenset({"train"}))

    for _ in range(2):
        reports.declare("train", ["loss", "auc"])

    assert reports.outcome().manifest.plan.tasks["train"].discloses.metrics == ("loss", "auc")
    assert reports.outcome().digest != loaded.digest


def test_the_metrics_of_other_tasks_are_those_that_the_author_declares(loaded: LoadedPlan) -> None:
    reports = ReportedMetrics(loaded, frozenset({"train"}))

    assert reports.declare("evaluate", ["auc"]).tasks["evaluate"].discloses.metrics == ()
    assert reports.outcome().digest == loaded.digest


def test_a_metric_that_no_plan_can_declare_is_refused(loaded: LoadedPlan) -> None:
    with pytest.raises(PlanError, match="not a name"):
        ReportedMetrics(loaded, frozenset({"train"})).declare("train", ["the loss"])
