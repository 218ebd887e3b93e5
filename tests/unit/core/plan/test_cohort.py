"""Who is asked in a round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.plan.cohort import Cohort, needed, select

POPULATION = [f"site-{number:02}" for number in range(20)]
COHORTS = st.builds(
    Cohort, fraction=st.floats(0.01, 1), quorum=st.floats(0.01, 1), minimum=st.integers(1, 30)
)


def test_a_whole_population_is_asked_in_site_order() -> None:
    assert select(Cohort(), 0, 1, ["b", "c", "a"]) == (("a", "b", "c"), ())


@pytest.mark.parametrize(
    ("fraction", "minimum", "size"),
    [(0.25, 1, 5), (0.21, 1, 5), (0.3, 1, 6), (0.01, 1, 1), (0.01, 3, 3), (0.5, 50, 20)],
)
def test_a_fraction_is_rounded_up_and_at_least_the_minimum(fraction: float, minimum: int, size: int) -> None:
    drawn, _ = select(Cohort(fraction=fraction, minimum=minimum), 0, 1, POPULATION)

    assert len(drawn) == size


def test_rounds_and_seeds_draw_differently() -> None:
    cohort = Cohort(fraction=0.5)
    draws = {select(cohort, seed, number, POPULATION) for seed in range(5) for number in range(1, 6)}

    assert len(draws) == 25


def test_every_site_is_drawn_about_equally_often() -> None:
    cohort = Cohort(fraction=0.25)
    drawn = [site for number in range(1, 401) for site in select(cohort, 0, number, POPULATION)[0]]

    # 100 expected, with a standard deviation under 9.
    assert all(60 < drawn.count(site) < 140 for site in POPULATION)


@given(COHORTS, st.permutations(POPULATION), st.integers(0, 100))
def test_the_draw_does_not_depend_on_the_order_of_the_sites(
    cohort: Cohort, population: list[str], seed: int
) -> None:
    assert select(cohort, seed, 3, population) == select(cohort, seed, 3, POPULATION)


@given(COHORTS, st.sets(st.sampled_from(POPULATION)), st.integers(0, 100))
def test_a_cohort_is_part_of_the_population(cohort: Cohort, population: set[str], seed: int) -> None:
    drawn, _ = select(cohort, seed, 1, population)

    assert set(drawn) <= population
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    ("quorum", "minimum", "size", "answers"),
    [(1.0, 1, 5, 5), (0.8, 1, 5, 4), (0.5, 1, 5, 3), (0.1, 1, 5, 1), (0.1, 3, 5, 3), (0.1, 9, 5, 9)],
)
def test_the_quorum_is_rounded_up_and_at_least_the_minimum(
    quorum: float, minimum: int, size: int, answers: int
) -> None:
    assert needed(Cohort(quorum=quorum, minimum=minimum), size) == answers


@given(COHORTS, st.integers(1, 500))
def test_a_cohort_of_the_minimum_can_give_the_answers_that_are_needed(cohort: Cohort, size: int) -> None:
    assert cohort.minimum <= needed(cohort, size) <= max(cohort.minimum, size)


def test_nobody_is_not_enough() -> None:
    assert needed(Cohort(), 0) == 1
