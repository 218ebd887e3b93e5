"""Sums over the pooled rows, around their means, and whose rows they are of.

A variance from sums around 0 loses as many digits as the squared mean is larger than the variance. So sums
are asked for twice: the first give the means, and the second are taken around these (the two-pass algorithm;
Chan, Golub and LeVeque 1983, doi 10.1080/00031305.1983.10483115, equation 1.2, with their correction 1.7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hanse.algorithms.table import Counts, Floats
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate
from hanse.core.values.wording import counted
from hanse.errors import WorkflowError
from hanse.workflow.federation import Round

CENTRE = "centre"
"""The group of numbers that sites subtract before they add."""

SITES = "sites"
"""The array of a workflow's state that has the names of the sites that answered first."""

_ROUNDING = 4 * np.finfo(np.float64).eps
"""Part of a mean below which a standard deviation is the rounding of a constant."""


def summed(
    round: Round, task: str, model: Parameters | None = None, *, groups: Groups | None = None
) -> Aggregate:
    """Ask a task for sums over the rows of all sites; see `Round.sum`.

    Raises:
        WorkflowError: They have no rows; or, with secure aggregation, numbers of a site were cut to the
            ranges of the plan, so that the sums are wrong.
    """
    aggregate = round.sum(task, model, groups=groups)
    if not aggregate.num_examples:
        raise WorkflowError(
            "no site has a row with the values that are needed",
            mend="Check the sites' tables, and whether `missing: leave_out` has left out all rows.",
        )
    if aggregate.out_of_range:
        raise WorkflowError(
            f"at {aggregate.out_of_range} of {counted(len(aggregate.sites), 'site')} numbers were cut to the "
            f"ranges that the plan states for masked sums of {task!r}: the results would be wrong",
            mend="State wider ones: the `range` of its groups, and `examples: {most: ...}`, the most rows of "
            "a site. Wide ranges of real numbers want `ring: 64`.",
        )
    return aggregate


def around_means(
    round: Round, task: str, first: Floats, means: Callable[[Groups, Floats], Floats]
) -> tuple[Aggregate, Floats]:
    """Ask a task for sums around `first`, and again for sums around the means that these give.

    Args:
        round: The round.
        task: Receives the group `centre`.
        first: Where to begin.
        means: Of the pooled rows, from groups and the centre that these are around.

    Returns:
        The second answers, and the means that they are around.

    Raises:
        WorkflowError: There are no rows, or other sites answered in the second exchange.
    """
    before = summed(round, task, groups={CENTRE: first})
    centre = means(before.groups, first)
    after = summed(round, task, groups={CENTRE: centre})
    check_same(before.sites, after.sites)
    return after, centre


def mean(total: Any, count: Any, centre: Floats) -> Floats:
    """The mean from a sum around a centre; the centre itself where there are no rows."""
    return np.asarray(centre + total / np.maximum(count, 1))


def without_rounding(variance: Floats, mean: Floats) -> Floats:
    """Variances that are not negative, and 0 where all that is left of a constant is its rounding."""
    return np.asarray(np.where(variance <= (_ROUNDING * mean) ** 2, 0.0, variance))


def check_same(first: tuple[str, ...], now: tuple[str, ...]) -> None:
    """Refuse to continue with other sites than answered first: the sums would be of other rows.

    Raises:
        WorkflowError: A site is missing, or there is another one; names it.
    """
    if first == now:
        return
    lost, more = sorted({*first} - {*now}), sorted({*now} - {*first})
    told = [f"without {', '.join(lost)}"] * bool(lost) + [f"with {', '.join(more)}"] * bool(more)
    raise WorkflowError(
        f"the sums of this exchange are {' and '.join(told)}, other sites than before, and so of other rows",
        mend="Start the run again with the sites that answer.",
    )


def site_names(aggregate: Aggregate) -> Counts:
    """The sites of a sum, for a workflow's state."""
    return np.frombuffer("\n".join(aggregate.sites).encode(), np.uint8).astype(np.int64)


def check_as_in_state(aggregate: Aggregate, state: Groups) -> None:
    """Refuse to continue with other sites than those of the state; see `check_same`.

    Raises:
        WorkflowError: As `check_same`.
    """
    if SITES in state:
        names = np.asarray(state[SITES]).astype(np.uint8).tobytes().decode()
        check_same(tuple(names.split("\n")), aggregate.sites)


def sample(aggregate: Aggregate, **more: bool) -> dict[str, Array]:
    """The result that says whose rows a statistic is of: numbers of `rows` and `sites`, shape ()."""
    counts = {"rows": aggregate.num_examples, "sites": len(aggregate.sites)}
    return {name: np.array(value, np.int64) for name, value in {**counts, **more}.items()}
