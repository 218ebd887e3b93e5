"""k-means, beside scikit-learn on the pooled rows from the same centres."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from tests.tables import heart, pooled, total

from hanse.algorithms.statistics import kmeans
from hanse.algorithms.statistics.kmeans import KMeansSettings, local, moved, settled

COLUMNS = ("age", "trestbps", "thalach")
CENTRES = ((40.0, 120.0, 170.0), (60.0, 140.0, 110.0), (55.0, 160.0, 150.0))


@pytest.mark.sklearn
@pytest.mark.filterwarnings("ignore:.*did not converge.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("iterations", [1, 5, 100])
def test_centres_are_those_of_the_pooled_rows(iterations: int) -> None:
    settings = KMeansSettings(columns=COLUMNS, centres=CENTRES, aggregated_by="aggregator")
    centres = np.array(CENTRES)
    for _ in range(iterations):
        clusters = total(heart(), lambda table, at=centres: local(table, settings, at))["clusters"]
        centres = moved(clusters, centres)

    data = pooled(heart())
    rows = np.stack([data[name] for name in COLUMNS], axis=1)
    theirs = KMeans(3, init=np.array(CENTRES), n_init=1, max_iter=iterations, tol=0).fit(rows)
    np.testing.assert_allclose(centres, theirs.cluster_centers_, rtol=1e-8)


def test_a_centre_without_rows_stays() -> None:
    settings = KMeansSettings(columns=("a",), centres=((0.0,), (99.0,)), aggregated_by="aggregator")
    sites = {"x": {"a": np.array([1.0, 3.0])}}

    clusters = total(sites, lambda table: local(table, settings, np.array([[0.0], [99.0]])))["clusters"]

    assert moved(clusters, np.array([[0.0], [99.0]])).tolist() == [[2.0], [99.0]]
    assert clusters["inertia"] == 10.0


def test_centres_that_move_by_the_rounding_of_masked_sums_are_settled() -> None:
    before, after = np.array([[50.0], [60.0]]), np.array([[50.0], [60.002]])

    assert not settled(after, before)
    assert not settled(after, before, np.array([[0.002], [0.0009]]))
    assert settled(after, before, np.array([[0.0], [0.0011]]))


def test_many_rows_are_assigned_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = KMeansSettings(columns=COLUMNS, centres=CENTRES, aggregated_by="aggregator")

    def assigned() -> dict[str, list[float]]:
        clusters = total(heart(), lambda table: local(table, settings, np.array(CENTRES)))["clusters"]
        return {name: np.asarray(array).tolist() for name, array in clusters.items()}

    at_once = assigned()
    monkeypatch.setattr(kmeans, "_BLOCK", 100)  # 11 rows
    assert assigned() == at_once


def test_centres_of_another_length_than_the_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="a number for each of the `columns`"):
        KMeansSettings(columns=("a", "b"), centres=((0.0,),), aggregated_by="aggregator")


def test_a_number_of_centres_is_refused_with_how_to_begin() -> None:
    with pytest.raises(ValueError, match="are the first centres themselves, not their number"):
        KMeansSettings.model_validate({"columns": ["a"], "centres": 3, "aggregated_by": "aggregator"})
