"""Metrics of all sites' examples, held against scikit-learn's of the scores themselves."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from hanse.core.values.parameters import Array
from hanse.core.values.score_histogram import binned_scores
from hanse.errors import UpdateError
from hanse.workflow.pooled import Bounded, auc, average_precision, calibration, pooled_metrics

ROUNDING = 1e-12
# Rounded scores lie in one bin, and are equal, more often.
SCORES = st.floats(0, 1) | st.integers(0, 20).map(lambda twentieth: twentieth / 20)
EXAMPLES = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=60)
BINS = st.integers(1, 64)


def columns(examples: list[tuple[float, bool]]) -> tuple[Array, Array]:
    return np.array([score for score, _ in examples]), np.array([label for _, label in examples])


def holds(found: Bounded | None, expected: float) -> bool:
    return found is not None and abs(found.value - expected) <= found.bound + ROUNDING


@given(EXAMPLES, BINS)
def test_the_auc_of_the_scores_is_within_the_bound(examples: list[tuple[float, bool]], bins: int) -> None:
    scores, labels = columns(examples)
    assume(0 < labels.sum() < len(labels))

    assert holds(auc(binned_scores(scores, labels, bins)), roc_auc_score(labels, scores))


@given(EXAMPLES, BINS)
def test_the_average_precision_of_the_scores_is_within_the_bound(
    examples: list[tuple[float, bool]], bins: int
) -> None:
    scores, labels = columns(examples)
    assume(labels.any())

    found = average_precision(binned_scores(scores, labels, bins))

    assert holds(found, average_precision_score(labels, scores))


@given(EXAMPLES, BINS | st.sampled_from([100, 1000, 1024]), st.integers(1, 12))
def test_the_calibration_error_of_the_scores_is_within_the_bound(
    examples: list[tuple[float, bool]], bins: int, groups: int
) -> None:
    # Scores with an exact product have the group of their bin where groups divide bins.
    scores, labels = columns(examples)
    scores = np.floor(scores * 4096) / 4096
    groups = min(groups, bins)

    found = calibration(binned_scores(scores, labels, bins), groups)

    assert found is not None
    assert holds(found.error, calibration_error(scores, labels, groups))


@pytest.mark.parametrize("bins", [1024, 1000])
def test_the_bound_holds_for_scores_at_both_sides_of_a_groups_edge_within_a_bin(bins: int) -> None:
    scores, labels = np.repeat([0.0995, 0.1003], 50), np.repeat([1, 0], 50)

    found = calibration(binned_scores(scores, labels, bins))

    assert found is not None
    assert holds(found.error, calibration_error(scores, labels, 10))


def test_a_number_of_bins_that_the_groups_divide_has_the_tightest_bound() -> None:
    scores, labels = np.repeat([0.0995, 0.1003], 50), np.repeat([1, 0], 50)

    wide, tight = (calibration(binned_scores(scores, labels, bins)) for bins in (1024, 1000))

    assert wide is not None
    assert tight is not None
    assert tight.error.bound == 0.0005
    # Bin 102 of 1024 lies across 0.1 and holds 50 negatives, each of a score up to 103 / 1024.
    assert wide.error.bound == pytest.approx(0.5 / 1024 + 2 * 50 * 103 / 1024 / 100)


def calibration_error(scores: Array, labels: Array, groups: int) -> float:
    """The error of the scores themselves, in groups of equal width."""
    of = np.minimum(np.floor(scores * groups), groups - 1)
    apart = [abs(np.sum(scores[of == group] - labels[of == group])) for group in np.unique(of)]
    return float(sum(apart) / len(scores))


@given(EXAMPLES)
def test_scores_that_lie_in_the_middle_of_bins_of_their_own_are_calibrated_exactly(
    examples: list[tuple[float, bool]],
) -> None:
    _, labels = columns(examples)
    scores = (np.arange(len(labels)) + 0.5) / len(labels)

    found = calibration(binned_scores(scores, labels, len(labels)), len(labels))

    assert found is not None
    assert found.error.value == pytest.approx(float(np.abs(scores - labels).mean()), abs=ROUNDING)


def test_scores_in_bins_of_their_own_have_metrics_without_a_bound() -> None:
    labels = np.array([0, 0, 1, 0, 1, 1])
    scores = np.linspace(0, 0.99, 6)
    histogram = binned_scores(scores, labels, 64)

    assert auc(histogram) == Bounded(pytest.approx(roc_auc_score(labels, scores)), 0.0)
    precision = average_precision(histogram)
    assert precision is not None
    assert precision.value == pytest.approx(average_precision_score(labels, scores), abs=ROUNDING)
    assert precision.bound == pytest.approx(0, abs=ROUNDING)


def test_the_bound_of_the_auc_is_half_the_part_of_pairs_in_one_bin() -> None:
    # Of 3 * 2 pairs two are in one bin.
    assert auc([[2, 1], [1, 1]]) == Bounded((1 + 1 + 0.5 * 3) / 6, 0.25)


def test_the_bound_of_the_average_precision_is_reached_at_both_ends() -> None:
    labels = [0, 0, 0, 1, 1]
    negatives_first = average_precision_score(labels, [0.9, 0.8, 0.7, 0.6, 0.5])
    positives_first = average_precision_score(labels, [0.5, 0.6, 0.7, 0.9, 0.9])

    found = average_precision([[3], [2]])

    assert found is not None
    assert found.value - found.bound == pytest.approx(negatives_first, abs=ROUNDING)
    assert found.value + found.bound == pytest.approx(positives_first, abs=ROUNDING)


def test_many_examples_of_one_bin_keep_their_digits() -> None:
    n = 200_000
    labels = np.repeat([0, 1], n)  # all negatives first, and no two scores alike
    least = average_precision_score(labels, -np.arange(2 * n, dtype=np.float64))

    found = average_precision([[n], [n]])

    assert found is not None
    assert found.value - found.bound == pytest.approx(least, abs=1e-10)
    assert found.value + found.bound == pytest.approx(1, abs=ROUNDING)


def test_counts_of_any_size_are_exact() -> None:
    most = 2**62

    assert auc([[most, 0], [0, most]]) == Bounded(1.0, 0.0)
    assert auc([[0, most], [0, most]]) == Bounded(0.5, 0.5)


def test_a_table_says_how_often_scores_of_a_group_are_right() -> None:
    found = calibration(binned_scores([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], 100), groups=10)

    assert found is not None
    assert {name: column.tolist() for name, column in found.table.items()} == {
        "from": [0.1, 0.9],
        "to": [0.2, 1.0],
        "examples": [2, 2],
        "score": [pytest.approx(0.105), pytest.approx(0.905)],
        "positive": [0.5, 1.0],
    }
    assert found.error == Bounded(pytest.approx((0.395 + 0.095) / 2), 0.005)


@pytest.mark.parametrize(
    ("histogram", "undefined"),
    [
        ([[0, 0], [0, 0]], {auc, average_precision, calibration}),
        ([[3, 1], [0, 0]], {auc, average_precision}),
        ([[0, 0], [3, 1]], {auc}),
    ],
)
def test_what_is_not_defined_is_none(histogram: list[list[int]], undefined: set[Any]) -> None:
    assert {read for read in (auc, average_precision, calibration) if read(histogram) is None} == undefined


def test_metrics_have_the_name_of_their_group() -> None:
    assert pooled_metrics("scores", [[0, 0], [3, 1]]) == {
        "scores.average_precision": 1.0,
        "scores.average_precision_bound": 0.0,
        "scores.calibration_error": pytest.approx(0.625),
        "scores.calibration_error_bound": 0.25,
    }


@pytest.mark.parametrize("read", [auc, average_precision, calibration])
@pytest.mark.parametrize(
    "histogram", [[1, 2], [[1, 2]], [[1.0], [2.0]], np.zeros((2, 0), np.int64), [[1], [2], [3]]]
)
def test_what_is_no_histogram_is_refused(read: Any, histogram: Any) -> None:
    with pytest.raises(UpdateError, match=r"whole numbers of shape \(2, bins\)"):
        read(histogram)


def test_a_count_below_zero_is_refused() -> None:
    with pytest.raises(UpdateError, match="below 0"):
        auc([[1, -1], [1, 1]])


def test_fewer_than_one_group_is_refused() -> None:
    with pytest.raises(ValueError, match="groups must be at least 1"):
        calibration([[1], [1]], groups=0)
