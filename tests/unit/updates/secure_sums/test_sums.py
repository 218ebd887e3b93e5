"""Masked sums by files: the same as plain sums, within the error that is stated."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest
from tests.unit.updates.secure_sums.plans import SITES, UPDATE, plan_of, summed
from tests.unit.updates.secure_sums.sums import Answer, masked_sum

from hanse.core.plan.group_tensors import Received
from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.core.values.seeds import derive
from hanse.errors import UpdateError
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.opened import RunningCell, fold_masked
from hanse.updates.secure_sums.vector_file import blocks_of, open_vector

GRID = 2.0**-28
"""g of four sites and a bound of 1, in the ring of 2^32."""


def real(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    """Small real numbers."""
    numbers = np.random.default_rng(seed).normal(size=shape) * 0.01
    return np.asarray(numbers).astype(dtype)


def answers_of(make: Any, **metrics: Any) -> dict[str, Answer]:
    return {site: Answer(make(index), 10 + 20 * index, metrics) for index, site in enumerate(SITES)}


def received(answers: Mapping[str, Answer]) -> Received:
    return Received(specs(next(iter(answers.values())).tensors or {}))


def mean(answers: Mapping[str, Answer], name: str, *, weighted: bool) -> Array:
    """The mean that no masks were needed for, in float64."""
    weights = [answer.num_examples if weighted else 1 for answer in answers.values()]
    tensors = [np.asarray((a.tensors or {})[name]).astype(np.float64) for a in answers.values()]
    return np.average(tensors, axis=0, weights=weights)


@pytest.mark.parametrize("digests", ["sha256", "blake3"])
@pytest.mark.parametrize("rule", ["mean", "weighted_mean"])
def test_a_masked_mean_is_the_mean(tmp_path: Path, rule: str, digests: str) -> None:
    dtypes = ("float64", "float32", "float16", ml_dtypes.bfloat16)
    shapes: tuple[tuple[int, ...], ...] = ((), (0,), (3, 5), (150_000,))

    def make(index: int) -> Parameters:
        return {
            f"{np.dtype(dtype).name}.{math.prod(shape)}": real(shape, dtype, derive(index, place))
            for place, (dtype, shape) in enumerate((d, s) for d in dtypes for s in shapes)
        }

    answers = answers_of(make)
    secure = {"model": {"clip": 1.0, "norm": "max"}}
    plan = plan_of(UPDATE, secure=secure, aggregation={"rule": rule}, digests=digests)

    opened = masked_sum(plan, received(answers), answers, tmp_path)

    delta, total = opened.aggregate.delta or {}, 10 + 30 + 50 + 70
    assert delta.keys() == (answers["a"].tensors or {}).keys()
    bound = GRID * (4 / (total / 100) if rule == "weighted_mean" else 1.0)
    for name, array in delta.items():
        expected = mean(answers, name, weighted=rule == "weighted_mean")
        assert array.dtype == (answers["a"].tensors or {})[name].dtype
        assert array.shape == expected.shape
        last = float(ml_dtypes.finfo(array.dtype).eps) * np.abs(expected) / 2
        error = np.abs(np.asarray(array).astype(np.float64) - expected)
        assert np.all(error <= bound + last + 2.0**-25 * (array.dtype.itemsize == 2)), name
    assert opened.aggregate.num_examples == (total if rule == "weighted_mean" else 4)
    assert opened.aggregate.sites == SITES
    stated = opened.figures["all"].error
    assert stated is not None
    assert stated <= bound


def test_the_error_is_random_and_as_large_as_is_stated(tmp_path: Path) -> None:
    values = np.full(40_000, 0.3 * GRID)
    answers = {site: Answer({"w": values}) for site in SITES}
    plan = plan_of(UPDATE, secure={"model": {"clip": 1.0, "norm": "max"}}, aggregation={"rule": "mean"})

    opened = masked_sum(plan, received(answers), answers, tmp_path)

    error = np.asarray((opened.aggregate.delta or {})["w"]) - values
    stated = opened.figures["all"].error
    assert stated is not None
    assert abs(float(np.mean(error))) < 4 * stated / 200  # not biased
    assert 0.8 * stated < float(np.std(error)) <= stated


def test_two_thousand_tensors_come_back_each_as_itself(tmp_path: Path) -> None:
    answers = answers_of(lambda index: {f"t{n}": np.float32(n / 4000 + index / 8) for n in range(2_000)})
    answers = {
        site: Answer({name: np.asarray(value) for name, value in (answer.tensors or {}).items()})
        for site, answer in answers.items()
    }
    plan = plan_of(
        UPDATE, secure={"model": {"clip": 1.0, "norm": "max"}, "examples": None}, aggregation={"rule": "mean"}
    )

    delta = masked_sum(plan, received(answers), answers, tmp_path).aggregate.delta or {}

    found = np.array([float(np.asarray(delta[f"t{n}"])) for n in range(2_000)])
    assert np.allclose(found, np.arange(2_000) / 4000 + 3 / 16, atol=1e-7, rtol=0)


def test_totals_of_whole_numbers_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    counts = {site: rng.integers(-500, 501, (3, 70)) for site in SITES}
    grey = {site: rng.integers(0, 60, 9).astype(np.uint8) for site in SITES}
    answers = {site: Answer({"@n": counts[site], "@grey": grey[site]}) for site in SITES}
    plan = plan_of(
        summed(groups={"n": "total", "grey": "total"}),
        groups={"n": {"int64": [3, 70], "range": [-500, 500]}, "grey": {"uint8": [9]}},
    )

    groups = masked_sum(plan, Received({}), answers, tmp_path).aggregate.groups

    assert np.array_equal(groups["n"], sum(counts.values()))
    assert np.asarray(groups["grey"]).dtype == np.uint8
    assert np.array_equal(groups["grey"], sum(array.astype(int) for array in grey.values()))


def test_a_total_that_its_dtype_cannot_hold_fails(tmp_path: Path) -> None:
    answers = {site: Answer({"@grey": np.full(9, 200, np.uint8)}) for site in SITES}
    plan = plan_of(summed(groups={"grey": "total"}), groups={"grey": {"uint8": [9]}})

    groups = masked_sum(plan, Received({}), answers, tmp_path).aggregate.groups

    with pytest.raises(UpdateError, match="'grey' over the sites is too large for uint8"):
        np.asarray(groups["grey"])


def test_totals_and_means_of_real_groups_keep_the_dtypes_of_plain_sums(tmp_path: Path) -> None:
    values = {site: real((4,), np.float32, index) for index, site in enumerate(SITES)}
    answers = {site: Answer({"@t": values[site], "@m": values[site]}) for site in SITES}
    groups = {name: {"float32": [4], "range": [-0.1, 0.1]} for name in ("t", "m")}
    plan = plan_of(summed(groups={"t": "total", "m": "mean"}), groups=groups)

    found = masked_sum(plan, Received({}), answers, tmp_path).aggregate.groups

    total = np.sum([value.astype(np.float64) for value in values.values()], axis=0)
    assert (np.asarray(found["t"]).dtype, np.asarray(found["m"]).dtype) == (np.float64, np.float32)
    assert np.allclose(found["t"], total, atol=4 * 0.1 * GRID, rtol=0)
    assert np.allclose(found["m"], total / 4, atol=0.1 * GRID, rtol=1e-7)


def test_whole_numbers_and_truth_values_of_a_model_are_rounded_means(tmp_path: Path) -> None:
    steps = {"a": 3, "b": 4, "c": 4, "d": -1}
    answers = {
        site: Answer({
            "steps": np.array(step, np.int64),
            "unsigned": np.array([step], np.int64).astype(np.uint16),
            "seen": np.array([site in "ab", site == "a", False, True]),
        })
        for site, step in steps.items()
    }  # fmt: skip
    secure = {"model": {"clip": 1.0, "integers": (-10, 10)}, "examples": None}
    plan = plan_of(UPDATE, secure=secure, aggregation={"rule": "mean"})

    delta = masked_sum(plan, received(answers), answers, tmp_path).aggregate.delta or {}

    assert int(np.asarray(delta["steps"])) == 2  # 2.5 to even, as a plain mean
    assert np.asarray(delta["unsigned"]).view(np.int16).tolist() == [2]
    assert np.asarray(delta["seen"]).tolist() == [True, False, False, True]


@pytest.mark.parametrize("ring", [32, 64])
def test_the_extremes_of_every_range_are_summed_at_the_largest_cell(tmp_path: Path, ring: int) -> None:
    sites = tuple(f"s{n:02}" for n in range(64))
    most = 2**31 // 64 - 1 if ring == 32 else 2**57 - 2**10
    groups = {
        "n": {"int64": [2], "range": [-most, most]},
        "real": {"float64": [2], "range": [-3e7, 2e7]},
    }
    plan = plan_of(
        UPDATE | {"groups": {"n": "total", "real": "total"}, "metrics": ("loss",)},
        secure={"ring": ring, "model": {"clip": 0.7, "norm": "max", "integers": (-9, 7)}},
        groups=groups,
        cells={"all": sites},
    )
    answers = {
        site: Answer(
            {
                "w": np.array([5.0, -5.0]),
                "i": np.array([500, -500]),
                "@n": np.array([most + 5, -most - 5]),
                "@real": np.array([9e9, -9e9]),
            },
            10**9,
            {"loss": 1e6},
        )
        for site in sites
    }
    model = {name: spec for name, spec in specs(answers["s00"].tensors or {}).items() if name in "wi"}

    opened = masked_sum(plan, Received(model), answers, tmp_path)

    found, grid = opened.aggregate, 2.0 ** -(24 if ring == 32 else 48)
    delta = found.delta or {}
    assert np.allclose(delta["w"], [0.7, -0.7], atol=grid, rtol=0)
    assert np.asarray(delta["i"]).tolist() == [7, -9]
    assert np.asarray(found.groups["n"]).tolist() == [64 * most, -64 * most]
    assert np.allclose(found.groups["real"], [64 * 2e7, -64 * 3e7], rtol=2 * grid)
    assert found.metrics["loss"] == pytest.approx(20, rel=grid)
    assert found.num_examples == 64 * 100
    assert (opened.figures["all"].clipped, opened.figures["all"].out_of_range) == (64, 64)


def test_an_update_is_scaled_as_one_vector(tmp_path: Path) -> None:
    long = {"w": np.full((3,), 3.0, np.float32), "b": np.full((4, 4), 4.0)}
    answers = {site: Answer(long if site == "a" else {k: v * 0 for k, v in long.items()}) for site in SITES}
    plan = plan_of(UPDATE, secure={"model": {"clip": 2.0}, "examples": None}, aggregation={"rule": "mean"})

    opened = masked_sum(plan, received(answers), answers, tmp_path)

    norm = math.sqrt(3 * 9 + 16 * 16)
    delta = opened.aggregate.delta or {}
    assert np.allclose(delta["w"], 3.0 * 2 / norm / 4, atol=1e-7)
    assert np.allclose(delta["b"], 4.0 * 2 / norm / 4, atol=1e-7)
    assert opened.figures["all"].clipped == 1


def test_metrics_are_weighed_means_over_the_sites_that_gave_them(tmp_path: Path) -> None:
    answers = answers_of(lambda _: {"w": np.zeros(1)})
    for site, loss, auc in (("a", 1.0, None), ("b", 2.0, 0.5), ("c", 3.0, None), ("d", 4.0, 1.0)):
        answers[site].metrics = {"loss": loss, "auc": auc, "f1": None}
    optional = {"range": (0, 1), "optional": True}
    metrics = {"loss": (0, 20), "auc": optional, "f1": optional}
    plan = plan_of(UPDATE | {"metrics": ("loss", "auc", "f1")}, secure={"metrics": metrics})

    found = masked_sum(plan, received(answers), answers, tmp_path).aggregate.metrics

    assert found.keys() == {"loss", "auc"}
    assert found["loss"] == pytest.approx((10 * 1 + 30 * 2 + 50 * 3 + 70 * 4) / 160, abs=1e-6)
    assert found["auc"] == pytest.approx((30 * 0.5 + 70 * 1) / 100, abs=1e-6)


def test_a_task_of_metrics_alone_has_no_delta(tmp_path: Path) -> None:
    answers = {site: Answer(None, 0, {"loss": index}) for index, site in enumerate(SITES)}

    found = masked_sum(plan_of({"metrics": ("loss",)}), Received({}), answers, tmp_path).aggregate

    assert (found.delta, found.groups) == (None, {})
    assert found.metrics["loss"] == pytest.approx(1.5, abs=1e-6)


@pytest.mark.parametrize(
    "steps",
    [
        ("bf16",),
        ({"name": "bf16", "rounding": "stochastic"},),
        ({"name": "random_k", "fraction": 0.25, "error_feedback": False},),
        ({"name": "random_k", "fraction": 0.25, "error_feedback": False}, "bf16"),
    ],
)
def test_lawful_compression_gives_the_mean_of_what_it_leaves(tmp_path: Path, steps: Any) -> None:
    answers = answers_of(
        lambda index: {"w": real((500, 301), np.float32, index), "small": real((9,), np.float32, index)}
    )
    plan = plan_of(UPDATE, compression={"upload": steps}, secure={"model": {"clip": 10.0}})

    delta = masked_sum(plan, received(answers), answers, tmp_path).aggregate.delta or {}

    expected, found = mean(answers, "w", weighted=True), np.asarray(delta["w"])
    assert found.shape == expected.shape
    assert np.allclose(delta["small"], mean(answers, "small", weighted=True), atol=1e-6)
    if len(steps) == 1 and not isinstance(steps[0], dict):
        assert np.allclose(found, expected, rtol=2**-7, atol=2e-4)
    kept = found[found != 0]
    if isinstance(steps[0], dict) and steps[0]["name"] == "random_k":
        assert len(kept) <= math.ceil(0.25 * found.size) + 2
        # Of each stratum of four one number is kept at all sites alike, times four.
        assert np.allclose(kept, 4 * expected[found != 0], rtol=2**-6, atol=1e-3)


def test_tied_tensors_stay_the_same_bits(tmp_path: Path) -> None:
    def make(index: int) -> Parameters:
        tied = real((700,), np.float32, index)
        return {"embed": tied, "head": tied.copy(), "other": real((700,), np.float32, 100 + index)}

    answers = answers_of(make)
    for steps in ((), ({"name": "bf16", "rounding": "stochastic"},)):
        plan = plan_of(UPDATE, compression={"upload": steps})
        delta = masked_sum(plan, received(answers), answers, tmp_path).aggregate.delta or {}

        assert np.array_equal(delta["embed"], delta["head"])
        assert not np.array_equal(delta["embed"], delta["other"])


def test_what_scaling_takes_over_the_edge_of_a_narrow_dtype_comes_back_onto_it(tmp_path: Path) -> None:
    answers = {site: Answer({"w": np.full(1_000, 6e4, np.float16)}) for site in SITES}
    step = {"name": "random_k", "fraction": 0.25, "error_feedback": False}
    secure = {"model": {"clip": 1e5, "norm": "max"}, "examples": None}
    plan = plan_of(UPDATE, compression={"upload": (step,)}, secure=secure, aggregation={"rule": "mean"})

    found = np.asarray((masked_sum(plan, received(answers), answers, tmp_path).aggregate.delta or {})["w"])

    assert set(found.tolist()) == {0.0, 65504.0}


def test_words_added_as_they_come_are_those_of_the_masked_files(tmp_path: Path) -> None:
    answers = answers_of(lambda index: {"w": real((70_000,), np.float32, index)})
    plan = plan_of(UPDATE)
    layout = sum_layout(plan, "train", received(answers))
    masked_sum(plan, received(answers), answers, tmp_path)

    running = RunningCell(layout)
    for site in SITES:
        running.add(blocks_of(open_vector(tmp_path / f"{site}.q", layout)))
    masked = fold_masked([open_vector(tmp_path / f"{site}.y", layout) for site in SITES])

    assert np.array_equal(running.words, masked)


@pytest.mark.slow
def test_a_large_update_is_summed_in_little_memory(tmp_path: Path) -> None:
    size = 75_000_000
    update: Parameters = {"w": np.full(size, 1e-5, np.float32)}
    answers = {site: Answer(update) for site in SITES}
    plan = plan_of(UPDATE, secure={"model": {"clip": 1.0}, "examples": None}, aggregation={"rule": "mean"})

    tracemalloc.start()
    opened = masked_sum(plan, received(answers), answers, tmp_path)
    tensor = cast("LazyTensor", (opened.aggregate.delta or {})["w"])
    step = 1 << 20
    for begin in range(0, size, step):
        block = tensor.flat_range(begin, min(begin + step, size))
        assert np.allclose(block, np.float32(1e-5), atol=GRID, rtol=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 100_000_000
