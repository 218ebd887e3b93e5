"""The means that workflows take over a round's answers."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.aggregation.fedavg import fed_avg
from hanse.aggregation.fold import weighted_metrics
from hanse.core.values.update import Aggregate, Update


def weighted_mean(updates: Iterable[Update]) -> Aggregate:
    """Mean of the updates, weighted by number of examples (`FedAvg`)."""
    return fed_avg(updates)


def mean_metrics(updates: Iterable[Update]) -> dict[str, float]:
    """Mean of each metric over the sites that gave it, weighted by number of examples."""
    answers = tuple(updates)
    return weighted_metrics([u.metrics for u in answers], [u.num_examples for u in answers])
