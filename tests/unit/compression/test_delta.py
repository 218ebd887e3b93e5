"""Models as what is new in them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.compression.chains import normal

from hanse.compression.delta import apply_delta, model_delta
from hanse.core.plan.transforms import SEGMENT
from hanse.core.values.parameters import Array, Parameters, num_bytes, specs
from hanse.errors import UpdateError
from hanse.wire.tensors import decode, encode


def model(step: float) -> dict[str, Array]:
    """Models that differ as one round of training makes them differ."""
    return {
        "weight": normal(SEGMENT + 1000, scale=0.05) + normal(SEGMENT + 1000, seed=1) * np.float32(step),
        "brain": (normal(400) + np.float32(step)).astype(ml_dtypes.bfloat16),
        "count": np.arange(300) + round(1000 * step),
        "mask": np.arange(500) % 3 == round(1000 * step),
        "bias": normal(10) + np.float32(step),
        "scalar": np.array(step),
        "empty": np.zeros((0, 3), np.float32),
    }


def travelled(now: Parameters, before: Parameters, level: int = 1) -> Parameters:
    return decode(encode(dict(model_delta(now, before, level))))


@pytest.mark.parametrize("level", [1, 5])
def test_the_model_is_made_again_to_the_bit(level: int) -> None:
    now, before = model(0.002), model(0.001)

    made = apply_delta(travelled(now, before, level), before)

    assert encode({name: np.asarray(array) for name, array in made.items()}) == encode(now)


def test_what_changed_little_takes_fewer_bytes() -> None:
    now, before = model(0.002), model(0.001)

    assert num_bytes(travelled(now, before)) < 0.8 * num_bytes(now)
    assert num_bytes(travelled(now, now)) < 0.02 * num_bytes(now)


def test_what_was_made_against_another_model_does_not_fit() -> None:
    other = {"weight": normal(500)}

    with pytest.raises(UpdateError, match="does not fit the model before"):
        apply_delta(travelled(other, other), model(0.0))


@given(st.data())
@settings(max_examples=examples(30), deadline=None)
def test_a_changed_one_is_refused_or_makes_a_model_of_the_same_kind(data: st.DataObject) -> None:
    before = {"weight": normal(600)}
    raw = travelled({"weight": normal(600, seed=3)}, before)["weight"].copy()
    raw[data.draw(st.integers(0, raw.size - 1))] ^= data.draw(st.integers(1, 255))

    try:
        made = {n: np.asarray(array) for n, array in apply_delta({"weight": raw}, before).items()}
    except UpdateError:
        return
    assert specs(made) == specs(before)
