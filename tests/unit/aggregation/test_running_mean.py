"""The mean of updates that come one by one, held against that of updates read side by side."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.unit.aggregation.test_fold import DTYPES

from hanse.aggregation import running_mean
from hanse.aggregation.fedavg import fed_avg
from hanse.aggregation.fold import weighted_mean
from hanse.aggregation.running_mean import RunningMean, running_fed_avg
from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Update
from hanse.errors import UpdateError


@st.composite
def numbers(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Any numbers of a dtype, in any order of bytes, contiguous or not."""
    size = int(np.prod(shape))
    if dtype.kind in "iub":
        raw = np.frombuffer(
            draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize)), np.uint8
        )
        array = (raw & 1 if dtype.kind == "b" else raw).view(dtype)
    else:
        width = draw(st.sampled_from((16, 64 if dtype == np.float64 else 16)))
        most = 1e4 if width == 16 else float(np.finfo(dtype).max)
        values = st.lists(st.floats(-most, most, width=width), min_size=size, max_size=size)
        array = np.array(draw(values), np.float64).astype(dtype)
    form = draw(st.sampled_from(["plain", "foreign", "strided"]))
    if form == "foreign" and dtype.name != "bfloat16":
        array = array.astype(dtype.newbyteorder(">"))
    if form == "strided":
        array = np.repeat(array, 2)[::2]
    return array.reshape(shape)


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[dict[str, Array]], list[int]]:
    """Updates of several tensors of any dtypes, in orders of their own, and weights that are not all 0."""
    kinds = st.tuples(
        st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=9)
    )
    specs = draw(st.dictionaries(st.sampled_from("uvwxyz"), kinds, min_size=1, max_size=4))
    updates = []
    for _ in range(draw(st.integers(1, 5))):
        names = draw(st.permutations(sorted(specs)))
        updates.append({name: draw(numbers(*specs[name])) for name in names})
    weights = draw(st.lists(st.integers(0, 10**6), min_size=len(updates), max_size=len(updates)))
    weights[draw(st.integers(0, len(updates) - 1))] += 1
    return updates, weights


def lazy(update: Parameters, block: int) -> dict[str, Array]:
    """The same, computed where it is read."""

    def stands_for(array: Array) -> Array:
        flat = array.astype(array.dtype.newbyteorder("=")).reshape(-1)
        return LazyTensor(array.shape, flat.dtype, lambda begin, end: flat[begin:end], block).as_array

    return {name: stands_for(array) for name, array in update.items()}


def running(updates: list[dict[str, Array]], weights: list[int]) -> dict[str, Array]:
    mean = RunningMean()
    for update, weight in zip(updates, weights, strict=True):
        mean.add(update, weight)
    return {name: np.asarray(array) for name, array in mean.mean().items()}


@given(cohorts(), st.integers(1, 12), st.none() | st.integers(1, 5))
def test_the_mean_is_that_of_updates_side_by_side_to_the_bit(
    cohort: tuple[list[dict[str, Array]], list[int]], block: int, computed: int | None
) -> None:
    updates, weights = cohort
    given_out = updates if computed is None else [lazy(update, computed) for update in updates]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running_mean, "_BLOCK", block)
        mean = running(given_out, weights)

    expected = weighted_mean(updates, weights)
    assert list(mean) == list(expected)
    for name, array in expected.items():
        assert (mean[name].dtype, mean[name].shape) == (array.dtype, array.shape)
        assert mean[name].tobytes() == array.tobytes()


def test_the_mean_may_be_read_more_than_once_and_in_pieces() -> None:
    mean = RunningMean()
    mean.add({"w": np.array([1, 2, 3], np.float32)}, 1)
    mean.add({"w": np.array([3, 4, 5], np.float32)}, 1)
    found: Any = mean.mean()["w"]

    assert found.flat_range(1, 2).tolist() == [3.0]
    assert np.asarray(found).tolist() == np.asarray(found).tolist() == [2.0, 3.0, 4.0]


def test_an_update_without_weight_is_not_read() -> None:
    assert running([{"w": np.array([np.nan])}, {"w": np.array([1.0])}], [0, 5])["w"].tolist() == [1.0]


def test_an_updates_arrays_may_change_once_it_was_added() -> None:
    mean, array = RunningMean(), np.array([1.0, 2.0])

    mean.add({"w": array}, 1)
    array[:] = 100
    mean.add({"w": array}, 1)

    assert np.asarray(mean.mean()["w"]).tolist() == [50.5, 51.0]


W, WIDE = {"w": np.ones(2, np.float32)}, {"w": np.ones(3, np.float32)}
COMPLEX, NAMED = {"w": np.ones(2, np.complex64)}, {"v": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    ("updates", "weights"),
    [
        ([], []),
        ([W, W], [0, 0]),
        ([W, WIDE, NAMED], [1, 1, 1]),
        ([W, WIDE], [1, 0]),
        ([COMPLEX, W], [0, 1]),
        ([W, COMPLEX], [1, 1]),
        ([W, WIDE], [0, 0]),
        ([W, NAMED], [1, -1]),
        ([W, W], [1, float("nan")]),
    ],
)
def test_what_has_no_mean_is_told_as_of_updates_side_by_side(updates: Any, weights: Any) -> None:
    with pytest.raises((UpdateError, ValueError)) as expected:
        weighted_mean(updates, weights)
    with pytest.raises((UpdateError, ValueError)) as found:
        running(updates, weights)

    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))


def update(site: str, examples: int, value: float | None = None, **metrics: float) -> Update:
    return Update(site, examples, metrics, None if value is None else {"w": np.full(2, value, np.float32)})


ROUNDS = {
    "a mean": [update("a", 1, 4.0, loss=1.0), update("b", 3, 1.0, loss=3.0)],
    "no update": [update("a", 1, loss=1.0), update("b", 1, loss=2.0)],
    "nobody": [],
    "no examples": [update("a", 0, 1.0), update("b", 0, 1.0)],
    "one without": [update("a", 1, 1.0), update("b", 1), update("c", 1)],
    "a site without examples": [update("a", 0, 1.0), update("b", 2, 4.0)],
}


def outcome(average: Callable[..., Any], updates: list[Update], *, uniform: bool) -> Any:
    try:
        found = average(iter(updates), uniform=uniform)
    except UpdateError as error:
        return str(error)
    delta = None if found.delta is None else np.asarray(found.delta["w"]).tobytes()
    return found.num_examples, found.metrics, delta, found.sites


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("name", ROUNDS)
def test_a_round_comes_to_what_fed_avg_makes_of_it(name: str, uniform: bool) -> None:
    updates = ROUNDS[name]

    assert outcome(running_fed_avg, updates, uniform=uniform) == outcome(fed_avg, updates, uniform=uniform)


def test_every_update_is_taken_before_a_problem_is_told() -> None:
    taken: list[str] = []

    def updates() -> Iterator[Update]:
        for site, delta in (("a", W), ("b", WIDE), ("c", W)):
            taken.append(site)
            yield Update(site, 1, {}, delta)

    with pytest.raises(UpdateError, match="update 2 of 3 does not fit the first"):
        running_fed_avg(updates())

    assert taken == ["a", "b", "c"]


def test_memory_is_that_of_one_sum_and_one_update_however_many_come() -> None:
    size = 4_000_000

    def updates() -> Iterator[Update]:
        for number in range(16):
            yield Update(f"site-{number}", 1, {}, {"w": np.ones(size // 4, np.float32)})

    tracemalloc.start()
    running_fed_avg(updates())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 3 * size + 2_000_000
