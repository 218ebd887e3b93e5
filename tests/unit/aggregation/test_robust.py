"""Coordinate-wise median and trimmed mean."""

import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hanse.aggregation.robust import median, trimmed_mean
from hanse.compression.update import UpdateCodec
from hanse.core.plan.transforms import SEGMENT, Compression
from hanse.core.values.parameters import Array, specs
from hanse.errors import UpdateError

FLOATS = [np.dtype(dtype) for dtype in ["f2", "f4", "f8", ml_dtypes.bfloat16]]
INTEGERS = [np.dtype(dtype) for dtype in ["i1", "u1", "i2", "u4", "i8", "u8"]]


@st.composite
def cohorts(draw: st.DrawFn) -> list[Array]:
    """Updates of one tensor of any dtype."""
    dtype: np.dtype[Any] = draw(st.sampled_from([*FLOATS, *INTEGERS, np.dtype(np.bool_)]))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5))
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
    return draw(st.lists(arrays, min_size=1, max_size=9))


def numbers(updates: list[Array]) -> list[list[Any]]:
    """The values of each number of the model over the updates, exactly, in ascending order."""
    dtype = updates[0].dtype
    signed = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" else dtype
    flat = [update.reshape(-1).view(signed).tolist() for update in updates]
    return [sorted(values) for values in zip(*flat, strict=True)]


def as_dtype(values: list[float], like: Array) -> Array:
    """Values as a tensor of this one's shape and dtype holds them."""
    dtype = like.dtype
    if dtype.kind == "b":
        return np.array([value >= 0.5 for value in values], dtype).reshape(like.shape)
    if dtype.kind in "iu":
        signed = np.dtype(f"i{dtype.itemsize}")
        whole = [value if isinstance(value, int) else round(min(value, 2.0**63 - 1024)) for value in values]
        return np.array(whole, signed).view(dtype).reshape(like.shape)
    return np.array(values, np.float64).astype(dtype).reshape(like.shape)


def same(found: Array, expected: Array) -> bool:
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


@given(cohorts())
def test_the_median_is_the_one_of_each_number(updates: list[Array]) -> None:
    middle, odd = len(updates) // 2, len(updates) % 2
    expected = as_dtype(
        [v[middle] if odd else v[middle - 1] / 2 + v[middle] / 2 for v in numbers(updates)], updates[0]
    )

    found = median([{"w": update} for update in updates])["w"]

    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@given(cohorts(), st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.49]))
def test_the_trimmed_mean_is_that_of_what_is_left_of_each_number(updates: list[Array], trim: float) -> None:
    cut = int(trim * 100) * len(updates) // 100
    kept = [values[cut : len(values) - cut] for values in numbers(updates)]
    # One after another, in ascending order.
    expected = as_dtype([sum(map(float, values), 0.0) / len(values) for values in kept], updates[0])

    found = trimmed_mean([{"w": update} for update in updates], trim)["w"]

    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@given(cohorts(), st.randoms(), st.integers(1, 100), st.integers(1, 3))
def test_no_order_no_block_and_no_thread_changes_a_bit(
    updates: list[Array], random: Any, block_bytes: int, threads: int
) -> None:
    given_order = [{"w": update} for update in updates]
    another = random.sample(given_order, len(given_order))
    how = {"block_bytes": block_bytes, "threads": threads}

    assert same(median(given_order)["w"], median(another, **how)["w"])
    assert same(trimmed_mean(given_order, 0.3)["w"], trimmed_mean(another, 0.3, **how)["w"])


@pytest.mark.parametrize("dtype", FLOATS)
def test_of_two_zeros_no_sign_is_left_to_the_order_of_the_sites(dtype: np.dtype[Any]) -> None:
    zeros = [{"w": np.array([0.0], dtype)}, {"w": np.array([-0.0], dtype)}, {"w": np.array([-0.0], dtype)}]

    assert same(median(zeros)["w"], median(zeros[::-1])["w"])


def test_a_minority_of_bad_updates_cannot_move_them_out_of_the_good_ones() -> None:
    good = [{"w": np.full(1_000, value, np.float32)} for value in (1.0, 2.0, 3.0)]
    bad = [{"w": np.full(1_000, 3e38, np.float32)}, {"w": np.full(1_000, -3e38, np.float32)}]

    assert np.all(median([*bad, *good])["w"] == 2.0)
    assert np.all(trimmed_mean([*bad, *good], 0.2)["w"] == 2.0)


def test_large_numbers_have_a_middle() -> None:
    updates = [{"w": np.array([1.7e308])}, {"w": np.array([1.5e308])}]

    assert median(updates)["w"] == [1.6e308]
    assert trimmed_mean(updates, 0)["w"] == [1.6e308]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_largest_number_has_a_trimmed_mean(count: int) -> None:
    largest = np.finfo(np.float64).max

    assert trimmed_mean([{"w": np.array([largest])}] * count, 0)["w"] == [largest]


def test_a_part_is_taken_as_it_is_written() -> None:
    """0.29 * 100 is less than 29 in binary."""
    updates = [{"w": np.array([float(value)])} for value in [*range(29), *[50] * 42, *range(71, 100)]]

    assert trimmed_mean(updates, 0.29)["w"] == [50.0]


@pytest.mark.parametrize("trim", [-0.1, 0.5, float("nan")])
def test_a_part_that_would_leave_nothing_is_refused(trim: float) -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        trimmed_mean([{"w": np.zeros(1)}], trim)


def test_several_tensors_are_each_taken_by_themselves() -> None:
    updates = [{"a": np.float32([n, -n]), "b": np.int64([[n]])} for n in (5, 1, 3)]

    found = median(updates)

    assert {name: array.tolist() for name, array in found.items()} == {"a": [3.0, -3.0], "b": [[3]]}


@pytest.mark.parametrize(
    ("updates", "problem"),
    [
        ([], "no update"),
        ([{"w": np.zeros(1, complex)}], "complex128"),
        (
            [{"w": np.zeros(1)}, {"w": np.zeros(2)}],
            "update 2 of 2 does not fit the first: tensor 'w' has shape",
        ),
    ],
)
def test_what_has_no_median_is_refused(updates: list[dict[str, Array]], problem: str) -> None:
    with pytest.raises(UpdateError, match=problem):
        median(updates)


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    class Broken(dict[str, Array]):
        reads = 0

        def __getitem__(self, name: str) -> Array:
            self.reads += 1
            if self.reads > 4:
                raise UpdateError("cannot be read")
            return super().__getitem__(name)

    with pytest.raises(UpdateError, match="cannot be read"):
        median([Broken(w=np.zeros(10**6, np.float32))])


def test_compressed_updates_are_decoded_where_they_are_read() -> None:
    codec, rng = UpdateCodec(Compression.model_validate({"upload": ["int8"]})), np.random.default_rng(0)
    decoded = []
    for site in range(3):
        update = {"w": rng.standard_normal(2 * SEGMENT + 7).astype(np.float32)}
        encoded = {each.name: each.data for each in codec.encode(update, site)}
        decoded.append(codec.decode(encoded, specs(update), site))
    whole = [{name: np.asarray(array) for name, array in update.items()} for update in decoded]

    assert same(median(decoded)["w"], median(whole)["w"])


def test_memory_does_not_grow_with_the_updates(tmp_path: Path) -> None:
    size = 1 << 20
    maps = []
    for number in range(16):
        np.full(size, number, np.float32).tofile(tmp_path / str(number))
        maps.append({"w": np.memmap(tmp_path / str(number), np.float32, "r")})
    tracemalloc.start()

    median(maps)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size + 3 * (1 << 20)
