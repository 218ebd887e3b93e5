"""Models beside each other: means over sites, and what is not known."""

from __future__ import annotations

import pytest

from hanse.learners.comparison import Comparison


def compared(**scores: dict[str, dict[str, float]]) -> Comparison:
    return Comparison({"a": 3, "b": 1}, scores)


def test_a_mean_weighs_sites_by_their_examples() -> None:
    found = compared(m={"a": {"accuracy": 1.0}, "b": {"accuracy": 0.5}})

    assert found.mean("m", "accuracy") == pytest.approx(3.5 / 4)


def test_there_is_no_mean_of_a_model_that_was_not_measured_everywhere() -> None:
    found = compared(m={"a": {"auc": 1.0}, "b": {"auc": 0.5}}, alone={"a": {"auc": 0.9}}, failed={})

    assert (found.mean("alone", "auc"), found.mean("failed", "auc")) == (None, None)


def test_a_metric_that_is_not_defined_at_a_site_has_a_mean_over_the_others() -> None:
    found = compared(m={"a": {"accuracy": 1.0, "auc": 0.75}, "b": {"accuracy": 0.5}})

    assert found.metrics == ("accuracy", "auc")
    assert found.mean("m", "auc") == 0.75


def test_what_is_known_of_all_data_is_no_mean() -> None:
    found = Comparison({"a": 3, "b": 1}, {"m": {"a": {"auc": 1.0}}, "pooled": {}}, {"pooled": {"auc": 0.8}})

    assert found.mean("pooled", "auc") == 0.8
