"""The rotation, and the codes that rely on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.compression.chains import compression, normal

from hanse.compression.base import Vector, norm
from hanse.compression.eden import EdenStep
from hanse.compression.quantise import QuantiseStep
from hanse.compression.registry import make_chain
from hanse.compression.rotate import RotateStep, block_shape, rotate, rotate_back
from hanse.core.plan.transforms import SEGMENT
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1024, 1025, 10_000])
def test_a_rotation_keeps_the_norm_and_goes_back(size: int) -> None:
    values = normal(size)

    rotated = rotate(values, 4)
    norms = norm(rotated.reshape(-1)), norm(values)
    back = rotate_back(rotated, size, 4)

    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert np.abs(back - values).max() <= 1e-6 * np.abs(values).max() * 10


def sylvester(length: int) -> Array:
    matrix = np.ones((1, 1))
    while len(matrix) < length:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


@pytest.mark.parametrize("length", [8, 64, 1024])
def test_the_transform_is_the_hadamard_matrix_but_for_a_sign_a_column(length: int) -> None:
    rotated = np.array([rotate(row, 7)[:, 0] for row in np.eye(length)]).T

    signs = np.sign(rotated[0])

    assert np.allclose(rotated * signs * np.sqrt(length), sylvester(length), atol=1e-12)
    assert set(signs) == {-1.0, 1.0}


def test_every_block_is_rotated_by_itself() -> None:
    values = np.zeros(4096, np.float32)
    values[5] = 1.0

    rotated = rotate(values, 7)

    # Block j has every fourth number from the j-th on.
    assert np.flatnonzero(np.abs(rotated).sum(axis=0)).tolist() == [1]


def test_a_spike_is_spread_over_its_block() -> None:
    values = np.zeros(1024, np.float32)
    values[3] = 32.0

    assert np.abs(rotate(values, 1)).max() == pytest.approx(1.0)


def test_rotating_first_makes_a_spiky_vector_cheaper_to_quantise() -> None:
    values = normal(4096)
    values[::1000] = 1.0

    def error(*upload: str) -> float:
        chain = make_chain(compression(*upload).upload)
        decoded = chain.decode(chain.encode(values, 2), Vector("float32", 4096), 2)
        return norm(decoded - values)

    assert error("rotate", "int4") < 0.8 * error("int4")


def test_numbers_whose_sums_overflow_are_refused() -> None:
    with pytest.raises(UpdateError, match="too large to be rotated"):
        RotateStep().encode(np.full(8, 1e38, np.float32), 0)


DISTORTION = {1: 1 - 2 / math.pi, 2: 0.1175, 4: 0.009497}
"""Mean squared error of the levels for a standard normal distribution (Max 1960, table I)."""


@pytest.mark.parametrize(("bits", "expected"), [(1, 0.755), (2, 0.365), (4, 0.098)])
def test_the_error_is_the_papers_for_normal_and_for_spiky_numbers(bits: int, expected: float) -> None:
    step = EdenStep(bits)
    like = Vector("float32", SEGMENT)
    spiky = normal(SEGMENT, seed=2) ** 3 * np.float32(1e6)

    errors = []
    for values in (normal(SEGMENT), spiky):
        parts, _ = step.encode(values, 6)
        errors.append(norm(step.decode(parts, None, like, 6) - values) / norm(values))

    assert math.sqrt(1 / (1 - DISTORTION[bits]) - 1) == pytest.approx(expected, abs=1e-3)
    assert errors == pytest.approx([expected, expected], rel=0.05)


def test_one_bit_is_drive_with_the_scale_of_its_theorem_2() -> None:
    values = normal(1024)
    rotated = rotate(values, 3).reshape(-1).astype(np.float64)

    parts, _ = EdenStep(1).encode(values, 3)

    level = parts[0][0] * 0.7978845608028654
    assert level == pytest.approx(np.sum(rotated**2) / np.sum(np.abs(rotated)), rel=1e-5)
    assert parts[1].nbytes == 1024 / 8


def test_a_vector_is_padded_by_less_than_a_block() -> None:
    for size in (1, 5, 1023, 1024, 1025, SEGMENT - 1, SEGMENT):
        length, blocks = block_shape(size)

        assert size <= length * blocks < size + length
        assert length & (length - 1) == 0


def test_a_scale_that_no_site_writes_is_refused() -> None:
    step = EdenStep(2)
    parts, _ = step.encode(normal(16), 0)
    parts[0][:] = np.nan

    with pytest.raises(UpdateError, match="scale is not a finite number"):
        step.decode(parts, None, Vector("float32", 16), 0)


def test_a_rotation_and_whole_numbers_keep_the_scale_of_each_block() -> None:
    parts, _ = QuantiseStep(8, block=1024).encode(rotate(normal(4096), 1).reshape(-1), 1)

    assert parts[0].size == 4
