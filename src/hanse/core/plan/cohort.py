"""Cohort of a round: the plan's rules for it, and the draw."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hanse.core.plan.section import PlanSection, new_since
from hanse.core.values.schema import MAX_DURATION_S, Duration, Fraction, parse_duration
from hanse.core.values.seeds import derive

Sites = tuple[str, ...]

_REST = re.compile(r"([1-9][0-9]{0,6})\s*rounds?")


def parse_rest(value: Any) -> str:
    """Check `10 rounds` or a duration with its unit; rounds come back spelled in one way."""
    text = value.strip() if isinstance(value, str) else ""
    match = _REST.fullmatch(text)
    if match is not None:
        return f"{match[1]} rounds"
    try:
        if 0 < parse_duration(text) <= MAX_DURATION_S:
            return text
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not a rest; write for example 10 rounds, 30m or 1d")


def rest_rounds(rest: str) -> int | None:
    """The rounds of a rest; None where it is a duration."""
    match = _REST.fullmatch(rest)
    return None if match is None else int(match[1])


Rest = Annotated[str, Field(json_schema_extra={"format": "rest"}), BeforeValidator(parse_rest)]


class Cohort(PlanSection):
    """Who is asked in a round and for whom it waits."""

    fraction: Fraction = Field(1.0, description="Part of the population asked in each round.")
    minimum: int = Field(
        1, ge=1, le=1_000_000, description="Fewest sites in a round, asked and answering; fewer is a failure."
    )
    cell_minimum: int = Field(
        3,
        ge=1,
        le=1_000_000,
        description="In a plan with `cells`: fewest sites with examples of each cell in a sum.",
        json_schema_extra=new_since("0.2"),
    )
    quorum: Fraction = Field(1.0, description="Part of the cohort whose answers are needed.")
    deadline: Duration = Field(3600.0, description="Longest an exchange waits for its cohort.")
    grace: Duration | None = Field(
        None,
        description="Longest wait for the others once the quorum has answered; unset: until the deadline.",
    )
    idle_limit: Duration = Field(
        300.0, description="A site whose task shows no progress for so long is no longer waited for."
    )
    tolerated_missing: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Part of the data known so far, in examples, that may be missing from a round without a "
        "warning; unset: the part of the cohort that `quorum` leaves out.",
    )
    set_aside_after: int = Field(
        3,
        ge=0,
        le=1_000_000,
        description="Rounds in a row in which a site fails, falls silent or lets the deadline pass, after "
        "which it is not asked for a while; 0: never.",
    )
    rest: Rest = Field(
        "10 rounds", description="How long a suspended site is not asked, unless reinstated before."
    )
    approvals: Duration = Field(86400.0, description="Longest wait for the sites' answers to the plan.")
    absent: Duration = Field(
        3600.0,
        json_schema_extra=new_since("0.2"),
        description="Once `minimum` sites have accepted, longest wait for the answers of sites that have not "
        "been connected since the submission.",
    )


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
        aside: Those of them that are suspended. Others are asked in their place, where there are any.

    Returns:
        The cohort in site order (sorted): a `fraction` of the population, rounded up, and at
        least `minimum`; all of them where there are fewer. And the sites suspended whose place
        nobody takes, so that the round goes without them.
    """
    sites = sorted(population)
    drawn = sorted(sites, key=lambda site: (derive(seed, "cohort", round_number, site), site))
    free = [site for site in drawn if site not in aside]
    size = wanted(cohort, len(sites))
    without = [site for site in drawn if site in aside][: max(size - len(free), 0)]
    return tuple(sorted(free[:size])), tuple(sorted(without))


def needed(cohort: Cohort, size: int) -> int:
    """Answers without which an exchange that is to have `size` sites does not count.

    Never fewer than the plan's minimum, also where fewer sites are there to be asked.
    """
    return max(cohort.minimum, math.ceil(round(cohort.quorum * size, 9)))
