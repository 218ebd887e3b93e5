"""The arithmetic of updates: exact for whole numbers, dtype kept for all."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.deltas import difference

from hanse.core.values.parameters import (
    Array,
    Parameters,
    TensorSpec,
    add,
    is_floating,
    lazy_add,
    mismatch,
    not_a_number,
    not_as_before,
    not_finite,
    num_bytes,
    specs,
    tied_names,
)

WHOLE = st.sampled_from([np.dtype(code + width) for code in "iu" for width in "1248"])
FLOATING = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def pairs(draw: st.DrawFn, dtypes: st.SearchStrategy[np.dtype[np.generic]]) -> tuple[Array, Array]:
    """Two arrays of one shape and dtype."""
    dtype, shape = draw(dtypes), draw(SHAPES)
    return draw(hnp.arrays(dtype, shape)), draw(hnp.arrays(dtype, shape))


@given(pairs(WHOLE | st.just(np.dtype(np.bool_))))
def test_adding_the_difference_gives_back_whole_numbers_exactly(pair: tuple[Array, Array]) -> None:
    trained, received = pair

    delta = difference({"t": trained}, {"t": received})
    restored = add({"t": received}, delta)["t"]

    assert isinstance(delta["t"], np.ndarray)
    assert isinstance(restored, np.ndarray)
    np.testing.assert_array_equal(restored, trained, strict=True)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2)])
def test_differences_and_sums_keep_dtype_and_shape(
    dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> None:
    trained, received = np.full(shape, 1.5).astype(dtype), np.ones(shape).astype(dtype)

    delta = difference({"t": trained}, {"t": received})
    restored = add({"t": received}, delta)

    assert isinstance(delta["t"], np.ndarray)
    assert specs(delta) == specs(restored) == {"t": TensorSpec(shape, dtype.name)}
    np.testing.assert_array_equal(restored["t"], trained, strict=True)


def test_a_mean_update_in_float64_is_rounded_once() -> None:
    base = {"t": np.array([1.0], np.float32)}

    # Rounded to float32 before the sum, the change would be lost.
    change = {"t": np.array([2.0**-24 + 2.0**-40])}

    assert add(base, change)["t"] == np.float32(1 + 2.0**-23)


def test_a_mean_of_whole_numbers_is_rounded_to_the_nearest() -> None:
    base = {"count": np.array([10, 10, 5], np.uint8), "seen": np.array(3)}

    moved = add(base, {"count": np.array([1.6, -1.6, -2.0]), "seen": np.array(0.4)})

    np.testing.assert_array_equal(moved["count"], np.array([12, 8, 3], np.uint8), strict=True)
    np.testing.assert_array_equal(moved["seen"], np.array(3), strict=True)


def test_a_boolean_is_true_where_half_of_the_weight_says_so() -> None:
    moved = add({"mask": np.zeros(3, np.bool_)}, {"mask": np.array([0.49, 0.5, 1.0])})

    np.testing.assert_array_equal(moved["mask"], np.array([False, True, True]), strict=True)


def test_tensors_that_an_update_leaves_out_are_kept() -> None:
    base = {"kept": np.ones(2), "moved": np.ones(2)}

    moved = add(base, {"moved": np.ones(2)})

    assert moved["kept"] is base["kept"]
    assert moved["moved"].tolist() == [2, 2]


def test_the_arrays_passed_in_are_not_changed() -> None:
    base, delta = {"t": np.ones(2)}, {"t": np.ones(2)}

    add(base, delta)
    difference(base, delta)

    assert base["t"].tolist() == delta["t"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("delta", "problem"),
    [
        ({"other": np.ones(2)}, "a tensor 'other' that the model lacks"),
        ({"t": np.ones(3)}, r"shape \(3,\) in the update, \(2,\) in the model"),
        ({"t": np.ones(())}, r"shape \(\) in the update"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(delta: Parameters, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        add({"t": np.ones(2)}, delta)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("size", [3, 300_000])
def test_an_infinity_that_stays_differs_by_nothing_and_stays_to_the_bit(
    dtype: np.dtype[np.generic], size: int
) -> None:
    received = np.zeros(size).astype(dtype)
    received[0], received[-1] = -np.inf, np.inf
    trained = received.copy()
    trained[1] = 2

    delta = difference({"t": trained}, {"t": received})

    assert not_finite(delta) == ""
    assert delta["t"][[0, 1, -1]].astype(float).tolist() == [0, 2, 0]
    assert add({"t": received}, delta)["t"].tobytes() == trained.tobytes()


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize(
    ("received", "trained"),
    [(0, np.inf), (-np.inf, 0), (-np.inf, np.inf), (np.inf, np.nan), (0, np.nan), (np.nan, np.nan)],
)
def test_what_becomes_infinite_or_ceases_to_be_is_no_finite_difference(
    dtype: np.dtype[np.generic], received: float, trained: float
) -> None:
    before, after = np.array([1, received]).astype(dtype), np.array([1, trained]).astype(dtype)

    assert not_finite(difference({"t": after}, {"t": before})) == "t"


def test_a_difference_is_taken_between_equals_only() -> None:
    with pytest.raises(ValueError, match="tensor 't' has dtype float32, expected float64"):
        difference({"t": np.ones(2, np.float32)}, {"t": np.ones(2)})


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"a": TensorSpec((2,), "float32")}, ""),
        ({}, "tensor 'a' is missing; found are none"),
        ({"a": TensorSpec((3,), "float32")}, "tensor 'a' has shape (3,), expected (2,)"),
        ({"a": TensorSpec((2,), "int8")}, "tensor 'a' has dtype int8, expected float32"),
        (
            {name: TensorSpec((2,), "float32") for name in "ab"},
            "tensor 'b' was not expected; expected are 'a'",
        ),
    ],
)
def test_a_mismatch_is_told_in_words(found: dict[str, TensorSpec], problem: str) -> None:
    assert mismatch(found, {"a": TensorSpec((2,), "float32")}) == problem


def test_a_mismatch_among_many_names_a_few() -> None:
    expected = {f"t{number}": TensorSpec((), "float32") for number in range(9)}

    assert mismatch({"x": TensorSpec((), "float32")}, expected).endswith(
        "'t0', 't1', 't2', 't3', 't4' and 4 more"
    )


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_found_wherever_it_is(dtype: np.dtype[np.generic], bad: float) -> None:
    array = np.zeros((3, 100_000))
    array[-1, -1] = bad

    assert not_finite({"good": np.ones(2), "bad": array.astype(dtype)}) == "bad"


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_the_largest_and_the_smallest_numbers_are_finite(dtype: np.dtype[np.generic]) -> None:
    limits = ml_dtypes.finfo(dtype)
    values = [limits.max, limits.min, limits.smallest_subnormal, -0.0]

    assert not_finite({"extreme": np.array(values * 50_000, dtype)}) == ""


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_an_infinity_is_a_number_and_a_nan_is_none(dtype: np.dtype[np.generic]) -> None:
    infinite = np.array([1, -np.inf] * 100_000).astype(dtype)
    bad = infinite.copy()
    bad[-1] = np.nan

    assert not_a_number({"mask": infinite, "n": np.array([1])}) == ""
    assert not_a_number({"mask": infinite, "bad": bad}) == "bad"


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize(("value", "problem"), [(-np.inf, ""), (3, ""), (np.inf, "mask"), (np.nan, "mask")])
def test_infinities_may_stay_where_they_were_before(
    dtype: np.dtype[np.generic], value: float, problem: str
) -> None:
    before = {"mask": np.array([0, -np.inf] * 100_000).astype(dtype)}
    after = {"mask": before["mask"].copy()}
    after["mask"][-1] = value

    assert not_as_before(after, before) == problem


def test_infinities_are_found_in_tensors_that_are_computed_where_they_are_read() -> None:
    before = {"mask": np.array([0, -np.inf] * 100_000)}

    assert not_as_before(lazy_add(before, {"mask": np.ones(200_000)}), before) == ""
    assert not_as_before(lazy_add({"mask": np.zeros(200_000)}, before), {"mask": np.zeros(200_000)}) == "mask"


def test_whole_numbers_are_always_finite() -> None:
    assert not_finite({"n": np.array([np.iinfo(np.int64).max]), "mask": np.array([True])}) == ""


@pytest.mark.parametrize(("dtype", "real"), [*((d, True) for d in FLOATING), (np.dtype(np.int64), False)])
def test_bfloat16_counts_as_a_real_number(dtype: np.dtype[np.generic], real: bool) -> None:
    assert is_floating(dtype) is real


def test_the_size_of_parameters_is_that_of_their_arrays() -> None:
    assert num_bytes({"a": np.zeros((2, 3), np.float32), "b": np.zeros((), np.int8)}) == 25


def test_tied_tensors_are_those_alike_in_every_part() -> None:
    before = {"a": np.zeros(3), "b": np.zeros(3), "c": np.zeros(3), "n": np.zeros(3, np.int64)}
    after = {"a": np.ones(3), "b": np.full(3, 2.0), "c": np.ones(3), "n": np.ones(3, np.int64)}

    assert tied_names([before]) == {"b": "a", "c": "a"}
    assert tied_names([before, after]) == {"c": "a"}


def test_tensors_that_differ_in_their_last_number_are_not_tied() -> None:
    long = np.zeros(200_000, np.float32)
    other = long.copy()
    other[-1] = 1

    assert tied_names([{"a": long, "b": other, "c": long.copy()}]) == {"c": "a"}
