"""Federated averaging by robust rules, by their short names."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.algorithms.presets import expanded
from hanse.config.document import Document
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

REST = """
name: trial
code: [sites.py]
learner: sites:learner
cohort: {minimum: 7}
tasks: {train: {discloses: {update: aggregate, aggregated_by: aggregator}}}
"""


def plan(algorithm: str, rest: str = REST) -> Plan:
    document = Document.of(f"algorithm: {algorithm}\n{rest}", "plan.yaml", PlanError)
    return expanded(document).check(Plan)


@pytest.mark.parametrize(
    ("algorithm", "rule"),
    [
        ("median", {"rule": "median"}),
        ("{name: trimmed_mean, trim: 0.2}", {"rule": "trimmed_mean", "trim": 0.2}),
        ("rfa", {"rule": "geometric_median", "weights": "alike"}),
        ("{name: rfa, iterations: 9, weights: examples}", {"rule": "geometric_median", "iterations": 9}),
        ("{name: krum, byzantine: 1, keep: 3}", {"rule": "krum", "byzantine": 1, "keep": 3}),
        ("{name: norm_bounding, norm: 2.0}", {"rule": "norm_bounded_mean", "norm": 2.0, "weights": "alike"}),
        ("{name: centred_clipping, norm: 2.0}", {"rule": "centred_clipping", "norm": 2.0}),
    ],
)
def test_the_short_name_is_the_rule_of_the_plan(algorithm: str, rule: dict[str, Any]) -> None:
    short, long = plan(algorithm), plan("fedavg", f"aggregation: {rule}\n{REST}")

    assert short == long


def test_a_setting_that_is_missing_is_refused() -> None:
    with pytest.raises(PlanError, match=r"plan\.yaml:1: algorithm: krum lacks `byzantine`"):
        plan("krum")


def test_a_rule_that_sees_each_update_is_refused_where_no_party_does() -> None:
    with pytest.raises(PlanError, match="secure_aggregation"):
        plan("median", REST.replace("aggregated_by: aggregator", "aggregated_by: secure_aggregation"))
