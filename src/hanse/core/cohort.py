"""Who is asked in a round."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from hanse.core.plan import Cohort
from hanse.core.seeds import derive

Sites = tuple[str, ...]


def wanted(cohort: Cohort, size: int) -> int:
    """Sites that a round is to ask, of a population of this size."""
    return min(max(cohort.minimum, math.ceil(round(cohort.fraction * size, 9))), size)


def select(
    cohort: Cohort, seed: int, round_number: int, population: Iterable[str], aside: Collection[str] = ()
) -> tuple[Sites, Sites]:
    """Draw a round's cohort, without replacement, the same for the same seed.

    Args:
        cohort: Fraction and minimum from the plan.
        seed: The plan's seed.
        round_number: Counted from 1.
        population: Sites that take part in the run.
        aside: Those of them that are set aside. Others are asked in their place, where there are any.

    Returns:
        The cohort in site order (sorted): a `fraction` of the population, rounded up, and at
        least `minimum`; all of them where there are fewer. And the sites set aside whose place
        nobody takes, so that the round goes without them.
    """
    sites = sorted(population)
    drawn = sorted(sites, key=lambda site: (derive(seed, "cohort", round_number, site), site))
    free = [site for site in drawn if site not in aside]
    size = wanted(cohort, len(sites))
    without = [site for site in drawn if site in aside][: max(size - len(free), 0)]
    return tuple(sorted(free[:size])), tuple(sorted(without))


def needed(cohort: Cohort, size: int) -> int:
    """Answers without which an exchange that is to have `size` sites does not count."""
    return max(min(cohort.minimum, size), math.ceil(round(cohort.quorum * size, 9)), 1)
