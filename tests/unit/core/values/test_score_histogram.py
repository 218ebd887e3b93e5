"""A site's histogram of scores."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.score_histogram import binned_scores
from hanse.errors import UpdateError

EXAMPLES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=50)


def test_examples_are_counted_by_label_and_score() -> None:
    counts = binned_scores([0.1, 0.3, 0.9, 0.8, 1.0], [0, 1, 1, 0, 1], bins=4)

    assert counts.dtype == np.int64
    assert counts.tolist() == [[1, 0, 0, 1], [0, 1, 0, 2]]


@given(EXAMPLES, st.integers(1, 100))
def test_a_higher_score_is_never_in_a_lower_bin(examples: list[tuple[float, bool]], bins: int) -> None:
    scores = sorted(score for score, _ in examples)
    places = [int(binned_scores([score], [0], bins)[0].argmax()) for score in scores]

    assert places == sorted(places)


@given(EXAMPLES, EXAMPLES, st.integers(1, 100))
def test_histograms_of_two_sites_add_up_to_that_of_both(
    first: list[tuple[float, bool]], second: list[tuple[float, bool]], bins: int
) -> None:
    def histogram(examples: list[tuple[float, bool]]) -> Any:
        return binned_scores([score for score, _ in examples], [label for _, label in examples], bins)

    assert np.array_equal(histogram(first) + histogram(second), histogram(first + second))


def test_a_site_without_examples_has_a_histogram_of_zeros() -> None:
    assert binned_scores([], [], bins=3).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("labels", [[False, True], [0, 1], [0.0, 1.0]])
def test_scores_and_labels_may_have_any_dtype_and_shape(dtype: str, labels: list[Any]) -> None:
    scores = np.array([[0.25], [1.0]], dtype)

    assert binned_scores(scores, np.array(labels)[:, None], bins=2).tolist() == [[1, 0], [0, 1]]


def test_a_probability_that_rounding_leads_past_the_end_counts_as_the_end() -> None:
    assert binned_scores([1 + 1e-7, -1e-7], [1, 1], bins=2).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("scores", "labels", "problem"),
    [
        ([0.5, float("nan")], [0, 1], "a score is NaN"),
        ([0.5, 1.1], [0, 1], "a score lies outside 0 to 1. Give probabilities"),
        ([0.5, float("inf")], [0, 1], "a score lies outside 0 to 1"),
        ([0.5, -3.0], [0, 1], "a score lies outside 0 to 1"),
        ([0.5, 0.6], [0, 2], "a label is neither 0 nor 1"),
        ([0.5, 0.6], [-1, 1], "a label is neither 0 nor 1"),
        ([0.5, 0.6], [0, float("nan")], "a label is neither 0 nor 1"),
        ([0.5, 0.6], [0], r"scores have shape \(2,\), their labels \(1,\)"),
        ([0.5, 0.6], ["no", "yes"], "labels have dtype <U3: numbers are needed"),
        ([0.5j, 0.6], [0, 1], "scores have dtype complex128"),
    ],
)
def test_what_is_no_score_or_no_label_is_refused(scores: list[Any], labels: list[Any], problem: str) -> None:
    with pytest.raises(UpdateError, match=problem):
        binned_scores(scores, labels)


@pytest.mark.parametrize("bins", [0, -1, 2**20 + 1])
def test_a_number_of_bins_out_of_range_is_refused(bins: int) -> None:
    with pytest.raises(ValueError, match="bins must be from 1 to 1,048,576"):
        binned_scores([0.5], [1], bins)
