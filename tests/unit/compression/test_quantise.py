"""Whole numbers of 8 and 4 bits."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compression.chains import normal

from hanse.compression.base import Vector
from hanse.compression.quantise import QuantiseStep
from hanse.errors import UpdateError


@pytest.mark.parametrize(("bits", "levels"), [(8, 127), (4, 7)])
def test_each_number_is_off_by_less_than_a_scale(bits: int, levels: int) -> None:
    values = normal(5000)
    step = QuantiseStep(bits)

    parts, _ = step.encode(values, 1)
    decoded = step.decode(parts, None, Vector("float32", 5000), 1)

    assert np.abs(decoded - values).max() <= np.abs(values).max() / levels * (1 + 1e-5)


def test_numbers_on_a_level_stay_exactly_where_they_are() -> None:
    values = np.arange(-127, 128, dtype=np.float32)
    step = QuantiseStep(8)

    parts, _ = step.encode(values, 9)

    assert step.decode(parts, None, Vector("float32", 255), 9).tolist() == values.tolist()


def test_a_block_of_large_numbers_does_not_cost_the_others() -> None:
    values = normal(64)
    values[:16] *= 1e6
    step = QuantiseStep(8, block=16)

    parts, _ = step.encode(values, 1)
    decoded = step.decode(parts, None, Vector("float32", 64), 1)

    assert parts[0].size == 4
    assert np.abs(decoded - values)[16:].max() <= np.abs(values[16:]).max() / 127 * (1 + 1e-5)


def test_two_4_bit_numbers_take_a_byte() -> None:
    parts, _ = QuantiseStep(4).encode(normal(7), 1)

    assert parts[1].nbytes == 4


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_a_scale_that_no_site_writes_is_refused(scale: float) -> None:
    parts = [np.array([scale], np.float32), np.zeros(4, np.int8)]

    with pytest.raises(UpdateError, match="scale is not a finite number"):
        QuantiseStep(8).decode(parts, None, Vector("float32", 4), 0)


@pytest.mark.parametrize("packed", [[0x80, 0x88], [0x88, 0x98]])
def test_a_4_bit_number_out_of_range_is_refused(packed: list[int]) -> None:
    parts = [np.ones(1, np.float32), np.array(packed, np.uint8)]

    with pytest.raises(UpdateError, match="4-bit number is out of its range"):
        QuantiseStep(4).decode(parts, None, Vector("float32", 3), 0)


def test_an_8_bit_number_out_of_range_is_refused() -> None:
    parts = [np.ones(1, np.float32), np.array([-128], np.int8)]

    with pytest.raises(UpdateError, match="out of its range"):
        QuantiseStep(8).decode(parts, None, Vector("float32", 1), 0)
