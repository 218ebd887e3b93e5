"""Deltas of models, computed at once."""

from __future__ import annotations

from hanse.core.values.lazy import computed
from hanse.core.values.parameters import Array, Parameters, difference_as_read


def difference(trained: Parameters, received: Parameters) -> dict[str, Array]:
    """What training changed: trained minus received, tensor by tensor."""
    return computed(difference_as_read(trained, received))
