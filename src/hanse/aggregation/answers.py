"""A round's answers as one aggregate: what all rules have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hanse.aggregation.fold import total_weight, weighted_metrics
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate, Update
from hanse.errors import UpdateError

Combine = Callable[[Sequence[Parameters], Sequence[int]], dict[str, Array]]
"""A rule: deltas, and the number of examples behind each, to one delta."""


def aggregate_of(updates: Iterable[Update], combine: Combine) -> Aggregate:
    """Combine a round's answers.

    Args:
        updates: One round's updates, in site order.
        combine: What to do with their deltas.

    Returns:
        The aggregate, its metrics means weighted by examples; its `delta` is None where no
        update has one (evaluation).

    Raises:
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    answers = tuple(updates)
    examples = [update.num_examples for update in answers]
    total = total_weight(examples)
    deltas = [update.delta for update in answers if update.delta is not None]
    if deltas and len(deltas) < len(answers):
        without = ", ".join(update.site for update in answers if update.delta is None)
        raise UpdateError(f"an update is missing from {without}, while other sites sent one")
    return Aggregate(
        num_examples=int(total),
        metrics=weighted_metrics([update.metrics for update in answers], examples),
        delta=combine(deltas, examples) if deltas else None,
        sites=tuple(update.site for update in answers),
    )
