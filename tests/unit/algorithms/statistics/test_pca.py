"""Principal components, beside scikit-learn on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from tests.tables import heart, pooled, solved

from hanse.algorithms.statistics import pca
from hanse.algorithms.statistics.pca import PcaSettings
from hanse.errors import WorkflowError

COLUMNS = ("age", "trestbps", "chol", "thalach", "oldpeak")


def found(**changes: Any) -> Any:
    settings = PcaSettings.model_validate({"columns": COLUMNS, "aggregated_by": "aggregator"} | changes)
    return solved(heart(), pca, settings)


def rows() -> Any:
    data = pooled(heart())
    return np.stack([data[name] for name in COLUMNS], axis=1)


@pytest.mark.sklearn
def test_components_are_those_of_the_pooled_rows() -> None:
    ours, theirs = found(), PCA().fit(rows())

    np.testing.assert_allclose(ours["mean"], theirs.mean_, rtol=1e-10)
    np.testing.assert_allclose(ours["variance"], theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours["variance_ratio"], theirs.explained_variance_ratio_, rtol=1e-8)
    signs = np.sign((ours["components"] * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours["components"], signs[:, np.newaxis] * theirs.components_, atol=1e-8)


@pytest.mark.sklearn
def test_scaled_components_are_those_of_the_standardised_rows() -> None:
    ours, theirs = found(scale=True, components=2), PCA(2).fit(StandardScaler().fit_transform(rows()))

    n = len(rows())
    np.testing.assert_allclose(ours["variance"], theirs.explained_variance_ * (n - 1) / n, rtol=1e-8)
    np.testing.assert_allclose(np.abs(ours["components"]), np.abs(theirs.components_), atol=1e-8)


def test_the_largest_entry_of_a_component_is_positive() -> None:
    components = found()["components"]

    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(len(components)), largest] > 0).all()


def test_a_constant_column_cannot_be_scaled() -> None:
    settings = PcaSettings(columns=("a", "b"), scale=True, aggregated_by="aggregator")
    sites = {"x": {"a": np.array([1.0, 2.0, 4.0]), "b": np.zeros(3)}}

    with pytest.raises(WorkflowError, match="the column 'b' is constant"):
        solved(sites, pca, settings)


def test_more_components_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="at most as many `components` as `columns`: 5"):
        found(components=7)


def test_large_means_lose_no_digits() -> None:
    random = np.random.default_rng(1)
    near = {site: {"t": random.normal(0, 3, 50), "u": random.normal(0, 1, 50)} for site in "ab"}
    far = {site: {"t": 1.7e9 + columns["t"], "u": columns["u"]} for site, columns in near.items()}
    settings = PcaSettings(columns=("t", "u"), aggregated_by="aggregator")

    ours = solved(far, pca, settings)

    rows = {site: {"t": columns["t"] - 1.7e9, "u": columns["u"]} for site, columns in far.items()}
    table = np.stack([pooled(rows)[name] for name in ("t", "u")], axis=1)
    np.testing.assert_allclose(ours["variance"], np.linalg.eigvalsh(np.cov(table.T))[::-1], rtol=1e-8)
