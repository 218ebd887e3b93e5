"""Gaussian naive Bayes, beside scikit-learn on the pooled rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from tests.tables import heart, pooled, total

from hanse.algorithms.statistics.naive_bayes import NaiveBayesSettings, local, solve
from hanse.errors import WorkflowError

COLUMNS = ("age", "thalach", "oldpeak", "sex")


def settings(classes: tuple[int, ...] = (0, 1)) -> NaiveBayesSettings:
    outcome = {"column": "ill", "categories": classes}
    return NaiveBayesSettings.model_validate(
        {"columns": COLUMNS, "outcome": outcome, "aggregated_by": "aggregator"}
    )


@pytest.mark.sklearn
def test_the_model_is_that_of_the_pooled_rows() -> None:
    found = solve(total(heart(), lambda table: local(table, settings()))["classes"], settings())

    data = pooled(heart())
    theirs = GaussianNB().fit(np.stack([data[name] for name in COLUMNS], axis=1), data["ill"])
    np.testing.assert_allclose(found["prior"], theirs.class_prior_, rtol=1e-12)
    np.testing.assert_allclose(found["mean"], theirs.theta_, rtol=1e-10)
    np.testing.assert_allclose(found["variance"], theirs.var_, rtol=1e-8)


def test_a_class_without_rows_is_refused() -> None:
    chosen = settings((0, 1, 2))

    with pytest.raises(WorkflowError, match="no site has a row of the class 2"):
        solve(total(heart(), lambda table: local(table, chosen))["classes"], chosen)
