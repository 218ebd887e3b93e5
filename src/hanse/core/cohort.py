"""Who is asked in a round."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hanse.core.plan import Cohort
from hanse.core.seeds import derive


def select(cohort: Cohort, seed: int, round_number: int, population: Iterable[str]) -> tuple[str, ...]:
    """Draw a round's cohort, without replacement, the same for the same seed.

    Args:
        cohort: Fraction and minimum from the plan.
        seed: The plan's seed.
        round_number: Counted from 1.
        population: Sites that take part in the run.

    Returns:
        Names in site order (sorted): a `fraction` of the population, rounded
        up, and at least `minimum`; all of them where there are fewer.
    """
    sites = sorted(population)
    wanted = max(cohort.minimum, math.ceil(round(cohort.fraction * len(sites), 9)))
    drawn = sorted(sites, key=lambda site: (derive(seed, "cohort", round_number, site), site))[:wanted]
    return tuple(sorted(drawn))


def needed(cohort: Cohort, size: int) -> int:
    """Answers without which an exchange with `size` sites does not count."""
    return max(min(cohort.minimum, size), math.ceil(round(cohort.quorum * size, 9)), 1)
