"""Tail probabilities, beside SciPy."""

from __future__ import annotations

import pytest
from scipy.stats import chi2, norm

from hanse.algorithms.tails import chi_square, normal_two_sided


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30, 101])
@pytest.mark.parametrize("x", [1e-9, 0.3, 1.0, 5.0, 40.0, 200.0])
def test_the_tail_of_chi_square_is_that_of_scipy(x: float, degrees: int) -> None:
    assert chi_square(x, degrees) == pytest.approx(chi2.sf(x, degrees), rel=1e-11)


def test_all_of_chi_square_is_from_zero_on() -> None:
    assert chi_square(0, 3) == 1


@pytest.mark.parametrize("z", [0.0, 0.5, -1.96, 8.0])
def test_the_two_tails_of_the_normal_are_those_of_scipy(z: float) -> None:
    assert normal_two_sided(z) == pytest.approx(2 * norm.sf(abs(z)), rel=1e-12)
