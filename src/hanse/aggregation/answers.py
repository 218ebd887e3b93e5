"""A round's answers as one aggregate: what all rules have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hanse.aggregation.fold import total_weight, weighted_metrics
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate, Update
from hanse.errors import UpdateError

Combine = Callable[[Sequence[Parameters], Sequence[int]], dict[str, Array]]
"""A rule: deltas, and the number of examples behind each, to one delta."""


def aggregate_of(updates: Iterable[Update], combine: Combine, *, weighs: bool = True) -> Aggregate:
    """Combine a round's answers.

    Args:
        updates: One round's updates, in site order.
        combine: What to do with their deltas.
        weighs: Whether there has to be an example.

    Returns:
        The aggregate, its metrics means weighted by examples; its `delta` is None where no
        update has one (evaluation).

    Raises:
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    answers = tuple(updates)
    deltas = [update.delta for update in answers if update.delta is not None]
    without = [update.site for update in answers if update.delta is None]
    counts = [update.num_examples for update in answers]
    return summed_up(answers, without, lambda: combine(deltas, counts), weighs=weighs)


def summed_up(
    answers: Sequence[Update],
    without: Sequence[str],
    combined: Callable[[], dict[str, Array]],
    *,
    weighs: bool = True,
) -> Aggregate:
    """An aggregate of all that is in answers beside their deltas, and of what those come to.

    Args:
        answers: One round's, in site order; their deltas are not looked at.
        without: Sites whose answers have no delta.
        combined: Gives what the deltas come to; called where every answer has one.
        weighs: Whether there has to be an example.

    Raises:
        UpdateError: As `aggregate_of`.
    """
    examples = [update.num_examples for update in answers]
    if weighs or any(examples):
        total_weight(examples)
    if without and len(without) < len(answers):
        raise UpdateError(f"an update is missing from {', '.join(without)}, while other sites sent one")
    return Aggregate(
        num_examples=sum(examples),  # exactly: beyond 2**53 a float is not
        metrics=weighted_metrics([update.metrics for update in answers], examples),
        delta=None if without else combined(),
        sites=tuple(update.site for update in answers),
    )
