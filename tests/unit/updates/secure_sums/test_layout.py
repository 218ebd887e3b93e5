"""Layout of a task's vector: what a plan discloses masked, with which ranges and rules."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.updates.secure_sums.plans import UPDATE, plan_of, summed

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.transforms import Compression, Int8, RandomK, Upload, Zstd
from hanse.core.values.parameters import TensorSpec
from hanse.errors import PlanError
from hanse.privacy.secagg.layout import Entry
from hanse.updates.secure_sums.layout import sum_layout

MODEL = {"bias": TensorSpec((), "float64"), "weight": TensorSpec((2, 3), "bfloat16")}


def entries(discloses: dict[str, Any], model: dict[str, TensorSpec] | None = None, **plan: Any) -> Any:
    made = sum_layout(plan_of(discloses, **plan), "train", Received(MODEL if model is None else model))
    return {entry.name: entry for entry in made.entries}


def test_an_update_is_bounded_by_the_clip_and_weighed_as_the_plan_says() -> None:
    found = entries(UPDATE | {"metrics": ("loss",)})

    assert list(found) == ["#examples", "#clipped", "#out_of_range", "#metric/loss", "bias", "weight"]
    assert found["weight"] == Entry("weight", (2, 3), "real", "weighted_mean", -1.0, 1.0)
    assert found["#metric/loss"].rule == "weighted_mean"
    alike = entries(UPDATE, secure={"examples": None}, aggregation={"rule": "mean"})
    assert list(alike) == ["#clipped", "bias", "weight"]
    assert alike["weight"].rule == "mean"


def test_whole_numbers_of_a_model_have_a_range_of_their_own() -> None:
    model = MODEL | {"steps": TensorSpec((), "int64"), "seen": TensorSpec((2,), "bool")}

    found = entries(UPDATE, model, secure={"model": {"clip": 2.0, "integers": (0, 50)}})

    assert (found["steps"].low, found["steps"].high, found["steps"].integer) == (0, 50, True)
    assert (found["seen"].low, found["seen"].high, found["seen"].kind) == (0, 1, "real")
    with pytest.raises(PlanError, match="'steps' has whole numbers, and the plan states no range"):
        entries(UPDATE, model)


def test_a_range_beyond_the_changes_of_unsigned_numbers_is_refused() -> None:
    model = MODEL | {"counts": TensorSpec((2,), "uint8")}

    with pytest.raises(PlanError, match="'counts' is uint8, whose changes are -128 to 127") as refused:
        entries(UPDATE, model, secure={"model": {"clip": 2.0, "integers": (0, 255)}})

    assert "by how much training changes a number" in str(refused.value)
    assert entries(UPDATE, model, secure={"model": {"clip": 2.0, "integers": (-128, 127)}})


def test_groups_are_summed_by_their_rules_within_their_ranges() -> None:
    found = entries(
        summed(groups={"stats": "total", "scores": "total", "grey": "total", "shift": "mean"}),
        groups={
            "stats": {"s": {"int64": [3]}, "n": {"int32": []}, "range": [0, 500]},
            "scores": {"pooled": "binary", "bins": 8},
            "grey": {"uint8": [4]},
            "shift": {"float32": [2], "range": [-3, 5]},
        },
    )

    assert found["@stats/n"] == Entry("@stats/n", (), "whole", "total", 0.0, 500.0, integer=True)
    assert (found["@scores"].shape, found["@scores"].high) == ((2, 8), 100)
    assert (found["@grey"].low, found["@grey"].high) == (0, 255)
    assert (found["@shift"].kind, found["@shift"].rule, found["@shift"].low) == ("real", "mean", -3.0)


def test_a_task_of_metrics_alone_is_masked_and_not_weighed() -> None:
    found = entries({"metrics": ("loss",)})

    assert list(found) == ["#out_of_range", "#metric/loss"]
    assert found["#metric/loss"].rule == "mean"


def test_numbers_are_laid_out_as_compression_leaves_them() -> None:
    model = {"w": TensorSpec((1000, 300), "float16"), "b": TensorSpec((20,), "float32")}
    steps = ({"name": "random_k", "fraction": 0.1, "error_feedback": False}, "bf16")

    made = sum_layout(plan_of(UPDATE, compression={"upload": steps}), "train", Received(model))

    shapes = {entry.name: entry.shape for entry in made.entries}
    assert shapes["w"] == (13108 + 13108 + 3786,)  # a tenth of each segment, rounded up
    assert shapes["b"] == (20,)
    assert [step["name"] for step in made.codecs] == ["random_k", "bf16"]
    plain = sum_layout(plan_of(UPDATE), "train", Received(model))
    assert plain.digest != made.digest


@pytest.mark.parametrize("name", ["#examples", "@other"])
def test_a_tensor_cannot_pass_for_another_number(name: str) -> None:
    with pytest.raises(PlanError, match="names that begin with"):
        entries(UPDATE, {name: TensorSpec((), "float32")})


def test_a_sum_that_does_not_fit_names_the_plan() -> None:
    groups = {"n": {"int64": [], "range": [0, 500_000_000]}}
    plan = plan_of(summed(groups={"n": "total"}), groups=groups)
    larger = plan.model_copy(update={"cells": {"all": tuple(f"s{n}" for n in range(10))}})

    assert sum_layout(plan, "train", Received({})).words == 2
    with pytest.raises(PlanError, match="demo, task train: 10 numbers @n of up to 500000000 do not fit"):
        sum_layout(larger, "train", Received({}))


@pytest.mark.parametrize("step", [Int8(), Zstd(), RandomK(fraction=0.1)])
def test_compression_that_cannot_be_added_is_refused(step: Upload) -> None:
    plan = plan_of(UPDATE).model_copy(update={"compression": Compression(upload=(step,))})

    with pytest.raises(PlanError, match="no masked sum"):
        sum_layout(plan, "train", Received(MODEL))
