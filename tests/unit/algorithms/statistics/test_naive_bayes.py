"""Gaussian naive Bayes, beside scikit-learn on the pooled rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from tests.tables import heart, pooled, solved

from hanse.algorithms.statistics import naive_bayes
from hanse.algorithms.statistics.naive_bayes import NaiveBayesSettings
from hanse.errors import WorkflowError

COLUMNS = ("age", "thalach", "oldpeak", "sex")


def settings(classes: tuple[int, ...] = (0, 1)) -> NaiveBayesSettings:
    outcome = {"column": "ill", "categories": classes}
    return NaiveBayesSettings.model_validate(
        {"columns": COLUMNS, "outcome": outcome, "aggregated_by": "aggregator"}
    )


@pytest.mark.sklearn
def test_the_model_is_that_of_the_pooled_rows() -> None:
    found = solved(heart(), naive_bayes, settings())

    data = pooled(heart())
    theirs = GaussianNB().fit(np.stack([data[name] for name in COLUMNS], axis=1), data["ill"])
    np.testing.assert_allclose(found["prior"], theirs.class_prior_, rtol=1e-12)
    np.testing.assert_allclose(found["mean"], theirs.theta_, rtol=1e-10)
    np.testing.assert_allclose(found["variance"], theirs.var_, rtol=1e-8)


def test_a_class_without_rows_is_refused() -> None:
    chosen = settings((0, 1, 2))

    with pytest.raises(WorkflowError, match="no site has a row of the class 2"):
        solved(heart(), naive_bayes, chosen)


def test_large_means_lose_no_digits() -> None:
    random = np.random.default_rng(1)
    sites = {site: {"t": 1.7e9 + random.normal(0, 3, 60), "ill": np.arange(60) % 2} for site in "ab"}
    outcome = {"column": "ill", "categories": (0, 1)}
    chosen = NaiveBayesSettings.model_validate(
        {"columns": ["t"], "outcome": outcome, "smoothing": 0, "aggregated_by": "aggregator"}
    )

    found = solved(sites, naive_bayes, chosen)

    data = pooled(sites)
    for place in (0, 1):
        expected = (data["t"] - 1.7e9)[data["ill"] == place].var()
        np.testing.assert_allclose(found["variance"][place], expected, rtol=1e-8)
