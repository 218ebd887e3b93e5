"""Groups of arrays, combined over sites."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples

from hanse.aggregation.groups import Combined, GroupFold, Rules
from hanse.core.plan.robust_rules import Krum, Median
from hanse.core.values.groups import flattened
from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array
from hanse.errors import QuorumError, UpdateError
from hanse.wire.tensors import open_file, write_file

WAYS = pytest.mark.parametrize("streamed", [False, True])


def combined(
    rules: Rules,
    tensors: Sequence[Mapping[str, Array]],
    *,
    examples: Sequence[int] = (),
    streamed: bool = False,
) -> Combined:
    fold = GroupFold(rules, streamed=streamed)
    for place, own in enumerate(tensors):
        lent = {name: np.array(array) for name, array in own.items()} if streamed else own
        fold.add("abcdefgh"[place], examples[place] if examples else 1, lent)
        if streamed:
            for array in lent.values():
                array[...] = 77  # what was lent holds no longer
    return fold.combined()


def read(value: Any) -> Array:
    return np.array(value)


def of(dtype: str, *values: Any) -> list[dict[str, Array]]:
    return [{"@g": np.array(value, dtype)} for value in values]


class TestTotal:
    @WAYS
    def test_whole_numbers_are_added_in_their_dtype(self, streamed: bool) -> None:
        large = 2**62 + 1  # no float64 is this number

        found = read(
            combined({"g": "total"}, of("int64", [large], [-3], [large - 2]), streamed=streamed).groups["g"]
        )

        assert (found.dtype, found.tolist()) == (np.int64, [2 * large - 5])

    @WAYS
    def test_others_in_float64_in_the_order_of_the_sites(self, streamed: bool) -> None:
        parts = of("float32", [1e8], [1.0], [-1e8], [0.1])

        found = read(combined({"g": "total"}, parts, streamed=streamed).groups["g"])

        assert found.dtype == np.float64
        assert found[0] == ((1e8 + 1.0) - 1e8) + float(np.float32(0.1))

    @WAYS
    @pytest.mark.parametrize(
        ("dtype", "values"),
        [
            ("uint8", (200, 56)),
            ("int32", (2**31 - 1, 1)),
            ("int32", (-(2**31), -1)),
            ("int64", (2**63 - 1, 2**63 - 1)),
            ("int64", (-(2**63), -(2**63))),
        ],
    )
    def test_one_that_is_too_large_is_named(
        self, dtype: str, values: tuple[int, int], streamed: bool
    ) -> None:
        parts = [{"@g/n": np.array([0, value], dtype)} for value in values]

        with pytest.raises(
            UpdateError, match=f"total of array 'n' of group 'g' over the sites is too large for {dtype}"
        ):
            read(flattened(combined({"g": "total"}, parts, streamed=streamed).groups)["@g/n"])

    @WAYS
    def test_so_is_one_of_real_numbers(self, streamed: bool) -> None:
        parts = of("float64", [1.5e308], [1.5e308])

        with pytest.raises(UpdateError, match="total of group 'g' over the sites is too large for float64"):
            read(combined({"g": "total"}, parts, streamed=streamed).groups["g"])

    @WAYS
    def test_what_is_outweighed_later_does_not_overflow(self, streamed: bool) -> None:
        parts = of("int32", [2**31 - 1], [-5], [5])

        assert read(combined({"g": "total"}, parts, streamed=streamed).groups["g"]) == [2**31 - 1]

    @WAYS
    def test_nobody_needs_examples(self, streamed: bool) -> None:
        parts = of("int64", [3], [4])

        found = combined({"g": "total"}, parts, examples=(0, 0), streamed=streamed).groups["g"]
        assert read(found) == [7]

    @WAYS
    def test_one_site_and_no_numbers_are_totals_too(self, streamed: bool) -> None:
        assert read(combined({"g": "total"}, of("int64", 3), streamed=streamed).groups["g"]) == 3
        empty = read(combined({"g": "total"}, of("float32", [[]], [[]]), streamed=streamed).groups["g"])
        assert (empty.shape, empty.dtype) == ((1, 0), np.float64)


class TestMeans:
    @WAYS
    def test_a_mean_weighs_sites_alike_and_keeps_the_dtype(self, streamed: bool) -> None:
        parts = of("float32", [1.0], [2.0], [6.0])

        found = read(combined({"g": "mean"}, parts, examples=(0, 1, 100), streamed=streamed).groups["g"])
        assert (found.dtype, found.tolist()) == (np.float32, [3.0])

    @WAYS
    def test_a_weighted_one_by_number_of_examples(self, streamed: bool) -> None:
        parts = of("float64", [1.0], [2.0], [6.0])

        found = combined({"g": "weighted_mean"}, parts, examples=(0, 3, 1), streamed=streamed).groups["g"]
        assert read(found).tolist() == [3.0]

    @WAYS
    def test_without_any_example_there_is_none(self, streamed: bool) -> None:
        with pytest.raises(UpdateError, match="examples"):
            combined({"g": "weighted_mean"}, of("float64", [1.0]), examples=(0,), streamed=streamed)

    @WAYS
    def test_of_a_models_dtype(self, streamed: bool) -> None:
        parts = [{"@g": np.array([value], ml_dtypes.bfloat16)} for value in (1.0, 2.0)]

        found = read(combined({"g": "mean"}, parts, streamed=streamed).groups["g"])
        assert found.dtype == ml_dtypes.bfloat16
        assert float(found[0]) == 1.5


class TestRobust:
    @WAYS
    @pytest.mark.parametrize(
        ("dtype", "values", "middle"),
        [
            ("float64", ([1.0], [5.0], [100.0]), [5.0]),
            ("int32", ([2**31 - 1], [2**31 - 3], [-5]), [2**31 - 3]),
            ("uint8", ([10], [200], [250]), [200]),
            ("uint8", ([0], [255]), [128]),
        ],
    )
    def test_a_median_is_of_values_and_not_of_differences(
        self, dtype: str, values: Any, middle: list[float], streamed: bool
    ) -> None:
        found = read(combined({"g": Median()}, of(dtype, *values), streamed=streamed).groups["g"])

        assert (found.dtype, found.tolist()) == (np.dtype(dtype), middle)

    @WAYS
    def test_krum_looks_at_the_whole_group(self, streamed: bool) -> None:
        parts = [
            {"@g/x": np.array([x]), "@g/y": np.array([y])}
            for x, y in [(0.0, 0.0), (0.1, 0.1), (0.2, 0.0), (0.1, 50.0), (0.1, 0.05)]
        ]

        found = combined({"g": Krum(byzantine=1)}, parts, streamed=streamed).groups["g"]
        assert {name: float(read(array)[0]) for name, array in found.items()} == {"x": 0.1, "y": 0.05}

    def test_too_few_sites_have_none(self) -> None:
        with pytest.raises(QuorumError):
            combined({"g": Krum(byzantine=1)}, of("float64", [1.0], [2.0]))


@WAYS
def test_each_sites_own_is_kept_where_the_plan_says_so(streamed: bool) -> None:
    parts = [{"@g": np.array(value), "@t/x": np.array([value > 1])} for value in (1, 2)]

    found = combined({"g": "individual", "t": "individual"}, parts, streamed=streamed)

    assert found.groups == {}
    assert {site: int(read(value)) for site, value in found.each["g"].items()} == {"a": 1, "b": 2}
    assert [bool(read(found.each["t"][site]["x"])[0]) for site in "ab"] == [False, True]


@WAYS
def test_every_group_goes_by_its_own_rule(streamed: bool) -> None:
    rules: Rules = {"t": "total", "m": "mean", "w": "weighted_mean", "r": Median(), "i": "individual"}
    parts = [{f"@{name}": np.array([value]) for name in rules} for value in (1.0, 2.0, 6.0)]

    found = combined(rules, parts, examples=(1, 1, 2), streamed=streamed)

    assert {name: read(array).tolist() for name, array in found.groups.items()} == {
        "t": [9.0],
        "m": [3.0],
        "w": [3.75],
        "r": [2.0],
    }
    assert list(found.each) == ["i"]


@WAYS
@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ({}, "group 'g' is missing"),
        ({"@g": np.zeros(2), "@h": np.zeros(2)}, "group 'h' was not expected"),
        ({"@g": np.zeros(1)}, r"group 'g' has shape \(1,\), expected \(2,\)"),
        ({"@g": np.zeros(2, np.float32)}, "group 'g' has dtype float32, expected float64"),
    ],
)
@pytest.mark.parametrize("rule", ["total", "mean", Median(), "individual"])
def test_groups_that_differ_between_sites_are_not_combined(
    rule: Any, second: dict[str, Array], problem: str, streamed: bool
) -> None:
    with pytest.raises(UpdateError, match=f"the groups of b do not fit the first: {problem}"):
        combined({"g": rule, "h": rule}, [{"@g": np.zeros(2)}, second], streamed=streamed)


def test_without_any_answer_there_is_nothing() -> None:
    with pytest.raises(UpdateError, match="no site has answered"):
        GroupFold({"g": "total"}).combined()


_RULES: dict[str, Any] = {"total": "total", "mean": "mean", "weighted_mean": "weighted_mean"}
_RULES |= {"median": Median(), "individual": "individual"}


@given(st.data())
@settings(max_examples=examples(60), deadline=None)
def test_taken_as_they_come_or_read_where_they_lie_the_bits_are_the_same(data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(sorted(_RULES)))
    whole = rule in ("total", "median", "individual")
    dtype = data.draw(st.sampled_from(["float32", "float64", *(["int32", "int64"] if whole else [])]))
    sites, size = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    tensors = [
        {"@g/x": (rng.standard_normal((size, 2)) * 10.0 ** rng.integers(0, 8)).astype(dtype)}
        for _ in range(sites)
    ]
    examples = [int(count) for count in rng.integers(1, 50, sites)]

    lazy = combined({"g": _RULES[rule]}, tensors, examples=examples)
    streamed = combined({"g": _RULES[rule]}, tensors, examples=examples, streamed=True)

    assert bits(lazy) == bits(streamed)


def bits(found: Combined) -> dict[str, tuple[str, bytes]]:
    flat = flattened(found.groups)
    flat |= {f"{s}:{n}": a for g in found.each.values() for s, v in g.items() for n, a in v.items()}
    return {name: (read(array).dtype.name, read(array).tobytes()) for name, array in flat.items()}


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_total_is_the_sum(values: list[list[int]]) -> None:
    found = read(combined({"g": "total"}, of("int64", *values)).groups["g"])

    assert found.tolist() == [sum(column) for column in zip(*values, strict=True)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_one_of_real_numbers_is_close_to_it(values: list[float]) -> None:
    found = read(combined({"g": "total"}, of("float64", *values)).groups["g"])

    assert float(found) == pytest.approx(math.fsum(values), abs=1e-8)


def test_what_lies_in_files_or_is_computed_is_read_where_the_result_is(tmp_path: Path) -> None:
    write_file(tmp_path / "a.safetensors", {"@g": np.arange(5.0), "@n": np.arange(5)})
    mapped = open_file(tmp_path / "a.safetensors")
    computed = {
        "@g": LazyTensor((5,), np.dtype(np.float64), lambda b, e: np.arange(b, e) * 10.0, 2).as_array,
        "@n": LazyTensor((5,), np.dtype(np.int64), lambda b, e: np.arange(b, e) * 10, 2).as_array,
    }
    fold = GroupFold({"g": "mean", "n": "total"})
    fold.add("a", 1, mapped)
    fold.add("b", 1, computed)

    found = fold.combined().groups

    assert isinstance(found["n"], LazyTensor)
    assert read(found["n"]).tolist() == [0, 11, 22, 33, 44]
    assert read(found["g"]).tolist() == [0, 5.5, 11, 16.5, 22]


@pytest.mark.parametrize("rule", ["total", "mean"])
def test_taken_as_they_come_memory_does_not_grow_with_the_sites(rule: Any) -> None:
    size = 1 << 18
    fold = GroupFold({"g": rule}, streamed=True)
    fold.add("first", 1, {"@g": np.ones(size)})
    tracemalloc.start()
    try:
        for site in range(20):
            fold.add(str(site), 1, {"@g": np.ones(size)})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * size * 8
