import tracemalloc
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.deltas import difference

from hanse.aggregation import fold
from hanse.aggregation.fold import weighted_mean, weighted_metrics
from hanse.compression.update import UpdateCodec
from hanse.core.plan.transforms import SEGMENT, Compression
from hanse.core.values.parameters import Array, add, specs
from hanse.errors import UpdateError

DTYPES: list[np.dtype[Any]] = [
    np.dtype(dtype)
    for dtype in ["?", "i1", "u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", ml_dtypes.bfloat16]
]


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[Array], list[int]]:
    """Updates of one tensor of any dtype, and their weights, not all 0."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=9))
    values: st.SearchStrategy[Any]
    if dtype.kind == "b":
        values = st.booleans()
    elif dtype.kind in "iu":
        values = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    else:
        values = st.floats(-1e4, 1e4, width=16)
    size = int(np.prod(shape))
    arrays = st.lists(values, min_size=size, max_size=size).map(
        lambda numbers: np.array(numbers, dtype=dtype).reshape(shape)
    )
    updates = draw(st.lists(arrays, min_size=1, max_size=5))
    weights = draw(st.lists(st.integers(0, 10**6), min_size=len(updates), max_size=len(updates)))
    weights[draw(st.integers(0, len(updates) - 1))] += 1
    return updates, weights


def reference(updates: list[Array], weights: list[int]) -> Array:
    """The mean as one would write it down, one element at a time."""
    dtype = updates[0].dtype
    signed = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" else dtype
    mean = np.empty(updates[0].shape, dtype=signed)
    for place in np.ndindex(mean.shape):
        total = 0.0
        for update, weight in zip(updates, weights, strict=True):
            total += float(update.view(signed)[place]) * weight
        value = total / sum(weights)
        if dtype.kind == "b":
            mean[place] = value >= 0.5
        elif dtype.kind in "iu":
            mean[place] = round(min(value, np.nextafter(2.0**63, 0)))
        else:
            mean[place] = np.float64(value).astype(dtype)
    return mean.view(dtype)


@given(cohorts(), st.integers(1, 12))
def test_the_mean_is_that_of_the_definition_to_the_bit_whatever_the_blocks(
    cohort: tuple[list[Array], list[int]], block: int
) -> None:
    updates, weights = cohort

    mean = weighted_mean([{"x": update} for update in updates], weights, block_bytes=8 * block)["x"]

    expected = reference(updates, weights)
    assert mean.dtype == expected.dtype
    assert mean.shape == expected.shape
    assert mean.tobytes() == expected.tobytes()


@given(hnp.arrays(np.float32, 5, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_the_mean_of_one_and_the_same_update_is_that_update(update: Array) -> None:
    mean = weighted_mean([{"x": update}] * 3, [17, 170, 1])

    np.testing.assert_array_equal(mean["x"], update)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_wrapped_integer_delta_counts_as_the_small_step_it_is(steps: list[tuple[int, int]]) -> None:
    received = {"count": np.array([200], dtype=np.uint8)}
    trained = [{"count": np.array([200 + up % 50 - down % 100], dtype=np.uint8)} for up, down in steps]

    mean = weighted_mean([difference(one, received) for one in trained], [1] * len(trained))

    expected = np.mean([int(one["count"][0]) for one in trained])
    assert abs(int(add(received, mean)["count"][0]) - expected) <= 0.5


def test_the_largest_whole_number_does_not_wrap_around() -> None:
    largest = np.array([2**63 - 1], dtype=np.int64)

    assert weighted_mean([{"x": largest}], [1])["x"][0] > 2**62


def test_half_of_the_weight_makes_a_boolean_true() -> None:
    yes, no = {"mask": np.array([True])}, {"mask": np.array([False])}

    assert weighted_mean([yes, no], [1, 1])["mask"].tolist() == [True]
    assert weighted_mean([yes, no], [1, 2])["mask"].tolist() == [False]


def test_a_mean_of_half_precision_numbers_is_not_taken_in_half_precision() -> None:
    updates = [{"x": np.array([60000], dtype=np.float16)}] * 100

    assert weighted_mean(updates, [1000] * 100)["x"].tolist() == [60000]


def test_an_update_without_weight_is_not_read() -> None:
    good, bad = {"x": np.array([1.0])}, {"x": np.array([np.nan])}

    assert weighted_mean([bad, good], [0, 5])["x"].tolist() == [1.0]


def test_strided_and_foreign_endian_tensors_are_read_right() -> None:
    updates = [{"x": np.arange(6, dtype=">f4").reshape(2, 3).T}, {"x": np.zeros((3, 2), dtype=np.float32)}]

    mean = weighted_mean(updates, [1, 1])["x"]

    assert mean.tolist() == [[0, 1.5], [0.5, 2], [1, 2.5]]
    assert mean.dtype == np.dtype("=f4")


def test_memory_stays_at_one_result_however_many_updates(tmp_path: Path) -> None:
    path = tmp_path / "update"
    size = 4_000_000
    np.zeros(size // 4, dtype=np.float32).tofile(path)
    updates = [{"x": np.memmap(path, dtype=np.float32, mode="r")} for _ in range(16)]

    tracemalloc.start()
    weighted_mean(updates, [1] * 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < size + 2_000_000


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    generator = np.random.default_rng(1)
    updates = [{"w": generator.normal(size=10_001).astype(np.float32)} for _ in range(3)]
    by_one = weighted_mean(updates, [1, 2, 3])

    monkeypatch.setattr(fold, "_THREADS", threads)
    monkeypatch.setattr(fold, "_WORTH_A_THREAD", 1)
    by_many = weighted_mean(updates, [1, 2, 3], block_bytes=4096)

    assert by_many["w"].tobytes() == by_one["w"].tobytes()


def test_updates_that_do_not_fit_together_are_named() -> None:
    one, other = {"x": np.zeros(2)}, {"x": np.zeros(3)}

    with pytest.raises(
        UpdateError, match=r"update 3 of 3 does not fit the first: tensor 'x' has shape \(3,\)"
    ):
        weighted_mean([one, one, other], [1, 1, 1])


def test_a_tensor_without_a_mean_is_named() -> None:
    with pytest.raises(UpdateError, match="tensor 'x' has dtype complex64, of which no mean"):
        weighted_mean([{"x": np.zeros(1, dtype=np.complex64)}], [1])


@pytest.mark.parametrize("weights", [[], [0, 0]])
def test_nobody_with_examples_is_no_mean(weights: list[int]) -> None:
    with pytest.raises(UpdateError, match=r"none of \d sites had examples"):
        weighted_mean([{"x": np.zeros(1)}] * len(weights), weights)


@pytest.mark.parametrize("weights", [[1], [1, -1], [1, float("nan")], [1, float("inf")]])
def test_a_callers_slip_with_weights_is_told(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        weighted_mean([{"x": np.zeros(1)}] * 2, weights)


LARGEST = float(np.finfo(np.float64).max)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
EXAMPLES = st.integers(1, 10**12)


def exact_mean(numbers: Iterable[tuple[float, int]]) -> Fraction:
    parts = [(Fraction(value), weight) for value, weight in numbers]
    return sum((value * weight for value, weight in parts), Fraction(0)) / sum(weight for _, weight in parts)


@given(st.lists(st.tuples(FINITE, EXAMPLES), min_size=1, max_size=6))
def test_the_mean_of_finite_numbers_is_finite_and_right(sites: list[tuple[float, int]]) -> None:
    values, weights = zip(*sites, strict=True)

    mean = weighted_mean([{"x": np.array([value])} for value in values], weights)["x"][0]
    metric = weighted_metrics([{"loss": value} for value in values], weights)["loss"]

    near = Fraction(max(map(abs, values))) * Fraction(1, 10**14) + Fraction(1, 10**288)
    assert abs(Fraction(float(mean)) - exact_mean(sites)) <= near
    assert abs(Fraction(metric) - exact_mean(sites)) <= near


@pytest.mark.parametrize("value", [1.7e308, LARGEST, -LARGEST])
def test_the_largest_numbers_have_a_mean(value: float) -> None:
    weights = [10**12, 10**12 - 1, 7]

    mean = weighted_mean([{"x": np.array([value])}] * 3, weights)["x"]

    assert mean == pytest.approx([value], rel=1e-15)
    assert weighted_metrics([{"loss": value}] * 3, weights)["loss"] == pytest.approx(value, rel=1e-15)


def test_an_infinity_that_was_given_is_not_hidden() -> None:
    updates = [{"x": np.array([value])} for value in (np.inf, 1.0)]

    assert weighted_mean(updates, [1, 1])["x"].tolist() == [np.inf]
    assert weighted_metrics([{"loss": np.inf}, {"loss": 1.0}], [1, 1]) == {"loss": np.inf}


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 10**6)), min_size=1))
def test_ordinary_metrics_have_the_mean_that_they_always_had(sites: list[tuple[float, int]]) -> None:
    """To the bit: journals of earlier versions are recounted."""
    values, weights = zip(*sites, strict=True)

    folded = total = 0.0
    for value, weight in sites:
        folded += weight * value
        total += weight

    mean = weighted_metrics([{"loss": value} for value in values], weights)["loss"]
    assert mean == folded / total or abs(folded) < 1e-290


def test_a_metric_is_averaged_over_the_sites_that_gave_it() -> None:
    metrics = [{"loss": 1.0, "auc": 0.5}, {"loss": 4.0}, {"noise": 3.0}]

    assert weighted_metrics(metrics, [1, 2, 0]) == {"auc": 0.5, "loss": 3.0}


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 10**6)), min_size=1))
def test_a_mean_metric_lies_between_the_sites(sites: list[tuple[float, int]]) -> None:
    values, weights = zip(*sites, strict=True)

    mean = weighted_metrics([{"loss": value} for value in values], weights)["loss"]

    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9


def test_updates_that_are_decoded_as_they_are_read_fold_to_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    compression = Compression.model_validate([{"name": "int8", "block": 1024}, "zstd"])
    codec, decoded, whole = UpdateCodec(compression), [], []
    for site in range(3):
        update = {"w": rng.standard_normal(2 * SEGMENT + 7).astype(np.float32), "n": np.arange(300) - 150}
        encoded = {each.name: each.data for each in codec.encode(update, site)}
        decoded.append(codec.decode(encoded, specs(update), site))
        whole.append({name: np.asarray(array) for name, array in decoded[-1].items()})

    mean = weighted_mean(decoded, [1, 2, 3])
    again = weighted_mean(whole, [1, 2, 3])

    assert specs(mean) == specs(again)
    assert all(mean[name].tobytes() == again[name].tobytes() for name in mean)
