"""Compression that a sum can be taken through: undone on the mean, with the choices of the context."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.updates.secure_sums.plans import UPDATE, plan_of
from tests.unit.updates.secure_sums.sums import context_of

from hanse.core.plan.transforms import Bf16, Compression, RandomK, Rotate, Upload
from hanse.core.values.parameters import Array, TensorSpec
from hanse.updates.secure_sums.codec import SumCodec, sum_codec

RANDOM_K = RandomK(fraction=0.25, error_feedback=False)
CONTEXT = context_of("all")
SHAPE = (3, 50_000)
"""More than one segment; the last is no whole block of a rotation."""


def codec(*steps: Upload) -> SumCodec:
    """Of a plan with these steps, one that no plan can state included."""
    compression = Compression.model_construct(upload=steps, smallest=256, groups=())
    return sum_codec(plan_of(UPDATE).model_copy(update={"compression": compression}))


def encoded(by: SumCodec, array: Array, context: str = CONTEXT, own: int = 1) -> Array:
    return np.asarray(by.encode("w", array, context, own))


def decoded(by: SumCodec, coded: Array, context: str = CONTEXT) -> Array:
    return np.asarray(by.decode("w", TensorSpec(SHAPE, "float32"), coded.astype(np.float64), context))


def numbers(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize(
    "steps", [(Rotate(),), (RANDOM_K,), (RANDOM_K, Rotate()), (RANDOM_K, Rotate(), Bf16())]
)
def test_the_mean_of_what_is_coded_decodes_to_the_mean(steps: tuple[Upload, ...]) -> None:
    by = codec(*steps)
    first, second = numbers(1), numbers(2)

    coded = [encoded(by, each) for each in (first, second)]
    both = decoded(by, (coded[0].astype(np.float64) + coded[1]) / 2)

    assert coded[0].shape == by.coded("w", TensorSpec(SHAPE, "float32")).shape
    assert both.shape == SHAPE
    mean, close = (first.astype(np.float64) + second) / 2, {"atol": 0.15 if Bf16() in steps else 1e-4}
    if RANDOM_K in steps:
        kept = both != 0
        assert 0.2 < kept.mean() <= (1.0 if Rotate() in steps else 0.26)
        drawn = np.abs(both) > 0.5 if Rotate() in steps else kept
        assert np.allclose(both[drawn], 4 * mean[drawn], **close)
    else:
        assert np.allclose(both, mean, **close)


def test_rotated_numbers_keep_their_length() -> None:
    array = np.zeros(SHAPE, np.float32)
    array[1, 7] = 1.0

    coded = encoded(codec(Rotate()), array)

    assert np.linalg.norm(coded) == pytest.approx(1.0, rel=1e-6)
    assert np.abs(coded).max() < 0.05


def test_what_all_choose_alike_follows_from_the_context_alone() -> None:
    by, array = codec(RANDOM_K), numbers(1)

    assert np.array_equal(encoded(by, array, own=1), encoded(by, array, own=2))
    assert not np.array_equal(encoded(by, array), encoded(by, array, context_of("another")))
    assert not np.array_equal(
        decoded(by, encoded(by, array)) != 0, decoded(by, encoded(by, array), context_of("x")) != 0
    )


def test_what_a_site_rounds_by_itself_does_not() -> None:
    by, array = codec(Bf16(rounding="stochastic")), numbers(1)

    assert not np.array_equal(encoded(by, array, own=1), encoded(by, array, own=2))
    assert np.array_equal(encoded(by, array), encoded(by, array, context_of("another")))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("w", np.ones(255, np.float32)),
        ("w", np.ones(1_000, np.int64)),
        ("@group/w", np.ones(1_000, np.float32)),
    ],
)
def test_small_tensors_whole_numbers_and_groups_pass_as_they_are(name: str, array: Any) -> None:
    by = codec(RANDOM_K)

    assert by.encode(name, array, CONTEXT, 1) is array
    assert by.coded(name, TensorSpec(array.shape, array.dtype.name)).shape == array.shape
