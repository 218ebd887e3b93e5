"""From results of sites to the sum over a cell: what a plain sum gives, within the stated error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.masked_sums import masked_all, random_bytes

from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array, specs
from hanse.errors import UpdateError
from hanse.privacy.secagg.grid import Ring, Words
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Examples, Layout, Range, Rule, layout_of
from hanse.privacy.secagg.vector import OpenedSum, Result, encode, open_sum

NAMES = "abcd"


def q_of(layout: Layout, result: Result, seed: int = 0) -> Words:
    return np.concatenate([*encode(layout, result, random_bytes(seed))])


def opened(layout: Layout, results: Sequence[Result], dtypes: Mapping[str, Any] | None = None) -> OpenedSum:
    """The sum over the first sites of a cell of four, masked and opened."""
    vectors = {name: q_of(layout, r, k) for k, (name, r) in enumerate(zip(NAMES, results, strict=False))}
    total: Words = sum(masked_all(vectors).values(), np.zeros(layout.words, f"<u{layout.ring // 8}"))
    wanted = {e.name: np.dtype((dtypes or {}).get(e.name, "f8")) for e in layout.entries if e.name[0] != "#"}
    return open_sum(layout, len(results), lambda begin, end: total[begin:end], wanted)


def declared(
    tensors: Mapping[str, Array], rule: Rule, ends: Range, *, clipped: bool = False
) -> dict[str, DeclaredTensor]:
    return {name: DeclaredTensor(spec, rule, ends, clipped) for name, spec in specs(tensors).items()}


def layout(ring: Ring = 32, **parts: Any) -> Layout:
    return layout_of(Declared(**parts), ring=ring, members=4)


@pytest.mark.parametrize("rule", ["total", "mean", "weighted_mean"])
@pytest.mark.parametrize("ring", [32, 64])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16])
def test_the_sum_is_the_plain_sum_within_the_stated_error(rule: Rule, ring: Ring, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    updates = [{"w": rng.uniform(-1, 1, (3, 5)).astype(dtype), "b": rng.uniform(-1, 1, ()).astype(dtype),
                "none": np.zeros((0, 4), dtype)} for _ in NAMES]  # fmt: skip
    examples = [300, 400, 500, 600]
    made = layout(
        ring,
        tensors=declared(updates[0], rule, Range(-1.0, 1.0), clipped=True),
        examples=Examples(200, 1200) if rule == "weighted_mean" else None,
    )

    got = opened(made, [Result(u, {}, n) for u, n in zip(updates, examples, strict=True)])

    weights = np.array(examples) / 1200 if rule == "weighted_mean" else np.ones(4)
    for name in updates[0]:
        total = sum(u[name].astype(np.float64) * w for u, w in zip(updates, weights, strict=True))
        expected = total / {"total": 1, "mean": 4, "weighted_mean": weights.sum()}[rule]
        most = (
            2.0**-made.bits * 4 * 1.2 / {"total": 1, "mean": 4, "weighted_mean": weights.sum()}[rule] + 1e-15
        )
        assert got.tensors[name].shape == expected.shape
        np.testing.assert_allclose(np.asarray(got.tensors[name]), expected, rtol=0, atol=most)
    assert got.examples == (1800 if rule == "weighted_mean" else None)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "i8"])
def test_totals_of_whole_numbers_are_exact(dtype: str) -> None:
    counts = {"@n": np.array([[0, 1], [1, 1]], dtype)}
    made = layout(tensors=declared(counts, "total", Range(-10, 10)))

    total = opened(made, [Result(counts)] * 4, {"@n": "i8"}).tensors["@n"]
    assert np.asarray(total).tolist() == [[0, 4], [4, 4]]


def test_the_mean_of_whole_numbers_is_rounded_to_the_nearest() -> None:
    steps = [{"steps": np.array(value)} for value in (100, 101, 103, 103)]
    made = layout(tensors=declared(steps[0], "mean", Range(0, 1_000_000)))

    assert int(np.asarray(opened(made, [Result(s) for s in steps], {"steps": "i8"}).tensors["steps"])) == 102


def test_a_layout_of_2_000_tensors_comes_back_by_name() -> None:
    values = {f"layer{k}": np.full((k % 3, 2), k / 2000) for k in range(2000)}
    made = layout(tensors=declared(values, "mean", Range(-1.0, 1.0), clipped=True))

    got = opened(made, [Result(values)] * 4)
    assert all(np.allclose(np.asarray(got.tensors[name]), value, atol=1e-8) for name, value in values.items())


def test_metrics_are_weighed_as_the_update_is() -> None:
    made = layout(metrics={"loss": Range(0, 20)}, examples=Examples(100, 1000))

    got = opened(made, [Result({}, {"loss": x}, n) for x, n in ((2.0, 100), (5.0, 200), (1.0, 300))])
    assert got.metrics["loss"] == pytest.approx(2.5, abs=1e-6)


def test_totals_and_plain_means_beside_a_weighted_mean_are_not_weighed() -> None:
    stated = {"@sum": "total", "@mean": "mean", "w": "weighted_mean"}
    value = {name: np.array([0.5]) for name in stated}
    made = layout(
        tensors={
            n: DeclaredTensor(specs(value)[n], r, Range(-1.0, 1.0), n == "w") for n, r in stated.items()
        },
        examples=Examples(1, 1000),
    )
    got = opened(made, [Result(value, {}, n) for n in (100, 200, 300, 400)]).tensors

    assert {name: round(float(np.asarray(got[name])[0]), 6) for name in stated} == {
        "@sum": 2.0,
        "@mean": 0.5,
        "w": 0.5,
    }


def test_an_optional_metric_is_the_mean_of_the_sites_that_gave_it() -> None:
    made = layout(metrics={"auc": Range(0, 1, optional=True)})
    got = opened(made, [Result({}, {"auc": value}) for value in (0.5, None, 0.75, None)])

    assert got.metrics["auc"] == pytest.approx(0.625, abs=1e-8)


@pytest.mark.parametrize("ends", [(0.5, 1.0), (-20.0, -0.5)])
@pytest.mark.parametrize("examples", [None, Examples(1, 10)])
def test_who_gives_no_metric_adds_nothing_where_zero_is_out_of_range(
    ends: tuple[float, float], examples: Examples | None
) -> None:
    made = layout(metrics={"loss": Range(*ends, optional=True)}, examples=examples)
    value = sum(ends) / 2

    got = opened(made, [Result({}, {"loss": loss}, 7) for loss in (value, None, value, None)])

    assert got.metrics["loss"] == pytest.approx(value, abs=1e-6)
    assert got.out_of_range == 0


def test_an_optional_metric_that_no_site_gave_is_none() -> None:
    made = layout(metrics={"auc": Range(0, 1, optional=True)})

    assert opened(made, [Result({}, {"auc": None})] * 3).metrics == {"auc": None}


@pytest.mark.parametrize("metrics", [{"auc": None}, {}])
def test_a_missing_metric_is_refused_unless_the_plan_marks_it(metrics: dict[str, None]) -> None:
    with pytest.raises(UpdateError, match="'auc' is missing, and the plan does not mark it `optional`"):
        q_of(layout(metrics={"auc": Range(0, 1)}), Result({}, metrics))


def test_without_optional_metrics_no_coordinate_counts_who_gave_them() -> None:
    made = layout(metrics={"auc": Range(0, 1)}, examples=Examples(1, 1000))

    assert [entry.name for entry in made.entries] == ["#examples", "#out_of_range", "#metric/auc"]


def test_a_metric_out_of_range_is_clipped_and_counted_and_does_not_fail() -> None:
    # A model can be built so that a metric leaves its range at the one site that has a certain patient.
    made = layout(metrics={"loss": Range(0, 20)})
    got = opened(made, [Result({}, {"loss": value}) for value in (1.0, 1.0, 5e6)])

    assert got.metrics["loss"] == pytest.approx(22 / 3, abs=1e-6)
    assert got.out_of_range == 1


def test_counts_out_of_range_are_clipped_and_counted() -> None:
    made = layout(tensors=declared({"@n": np.array([1])}, "total", Range(0, 10)))
    got = opened(made, [Result({"@n": np.array([value])}) for value in (3, 99, -4)], {"@n": "i8"})

    assert (np.asarray(got.tensors["@n"]).tolist(), got.out_of_range) == ([13], 2)


def test_the_number_of_sites_that_clipped_their_update_is_summed() -> None:
    update = {"w": np.array([0.5])}
    made = layout(tensors=declared(update, "mean", Range(-1.0, 1.0), clipped=True))

    assert opened(made, [Result(update, clipped=c) for c in (True, False, True, True)]).clipped == 3


def test_more_examples_than_most_count_as_most() -> None:
    made = layout(metrics={"loss": Range(0, 1)}, examples=Examples(1, 100))

    assert opened(made, [Result({}, {"loss": 0.5}, n) for n in (40, 100, 7000)]).examples == 240


def test_fewer_examples_than_least_are_refused_where_something_is_weighed() -> None:
    with pytest.raises(UpdateError, match="fewer than the 20 examples"):
        q_of(layout(metrics={"loss": Range(0, 1)}, examples=Examples(20, 100)), Result({}, {"loss": 0.5}, 19))


def test_examples_are_summed_exactly_where_nothing_is_weighed() -> None:
    counts = np.array([1, 2], np.int64)
    made = layout(tensors=declared({"@n": counts}, "total", Range(0, 10)), counted=500)

    got = opened(made, [Result({"@n": counts}, {}, n) for n in (0, 120, 500, 700)])

    assert got.examples == 0 + 120 + 500 + 500
    assert got.out_of_range == 1
    assert list(np.asarray(got.tensors["@n"])) == [4, 8]


def test_metrics_of_a_task_that_is_not_weighed_are_means_of_sites_alike() -> None:
    made = layout(metrics={"auc": Range(0.0, 1.0, optional=True)}, counted=500)

    got = opened(made, [Result({}, {"auc": auc}, n) for auc, n in ((0.5, 10), (1.0, 500), (None, 7))])

    assert got.examples == 517
    assert got.metrics["auc"] == pytest.approx(0.75, abs=1e-6)


def test_a_site_without_a_matching_row_contributes_its_zeros_where_nothing_is_weighed() -> None:
    made = layout(tensors=declared({"@n": np.array([0])}, "total", Range(0, 500)))
    got = opened(made, [Result({"@n": np.array([n])}, {}, n) for n in (5, 0, 2, 0)], {"@n": "i8"})

    assert np.asarray(got.tensors["@n"]).tolist() == [7]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    made = layout(tensors=declared({"w": np.array([0.0])}, "mean", Range(-1.0, 1.0), clipped=True),
                  metrics={"loss": Range(0, 1)})  # fmt: skip

    with pytest.raises(UpdateError, match="'w': a number is not finite"):
        q_of(made, Result({"w": np.array([bad])}, {"loss": 0.5}))
    with pytest.raises(UpdateError, match="'#metric/loss': a number is not finite"):
        q_of(made, Result({"w": np.array([0.0])}, {"loss": bad}))


@pytest.mark.parametrize("tensors", [{}, {"w": np.zeros(3)}])
def test_a_tensor_that_is_missing_or_of_another_shape_is_refused(tensors: dict[str, Array]) -> None:
    made = layout(tensors=declared({"w": np.zeros(2)}, "mean", Range(-1.0, 1.0), clipped=True))

    with pytest.raises(UpdateError, match="tensor 'w' is missing, or has another shape"):
        q_of(made, Result(tensors))


def test_a_member_that_was_asked_something_else_makes_noise_of_the_sum() -> None:
    made = layout(tensors=declared({"w": np.zeros(50)}, "mean", Range(-1.0, 1.0), clipped=True))
    update = Result({"w": np.zeros(50)})
    ys = masked_all({name: q_of(made, update) for name in "abc"})
    stranger = masked_all({name: q_of(made, update) for name in "abce"})
    total = ys["a"] + ys["b"] + stranger["c"]

    with pytest.raises(UpdateError, match="no members have who keep to their ranges"):
        open_sum(made, 3, lambda begin, end: total[begin:end], {"w": np.dtype("f4")})


def test_a_most_that_is_far_too_large_is_refused_with_a_better_one() -> None:
    made = layout(tensors=declared({"w": np.zeros(1)}, "weighted_mean", Range(-1.0, 1.0), clipped=True),
                  examples=Examples(1, 10**8))  # fmt: skip

    with pytest.raises(UpdateError, match="State a smaller `most` under `examples`, such as 80"):
        opened(made, [Result({"w": np.zeros(1)}, {}, 20)] * 4)


def test_a_total_beyond_the_dtype_it_is_wanted_in_is_refused() -> None:
    made = layout(tensors=declared({"@n": np.array([200], np.uint8)}, "total", Range(0, 255)))
    total = opened(made, [Result({"@n": np.array([200], np.uint8)})] * 4, {"@n": "u1"}).tensors["@n"]

    with pytest.raises(UpdateError, match="does not fit into uint8"):
        np.asarray(total)


def test_a_tensor_is_coded_and_decoded_by_blocks() -> None:
    size = 1 << 23
    tensor = LazyTensor((size,), np.dtype("f4"), lambda begin, end: np.full(end - begin, 0.25, "f4"))
    made = layout(
        tensors={"w": DeclaredTensor(specs({"w": tensor.as_array})["w"], "mean", Range(-1, 1), True)}
    )
    zeros = np.zeros(made.words, "<u4")
    tracemalloc.start()
    try:
        words = sum(len(piece) for piece in encode(made, Result({"w": tensor.as_array}), random_bytes(0)))
        lazy = open_sum(made, 4, lambda begin, end: zeros[begin:end], {"w": np.dtype("f4")}).tensors["w"]
        read = sum(len(lazy.flat_range(begin, begin + 65_536)) for begin in range(0, size, 65_536))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (words, read) == (made.words, size)
    assert peak < 10 << 20  # the vector has 32 MiB
