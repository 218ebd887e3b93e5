"""Deltas of models, materialize at once."""

from __future__ import annotations

from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Array, Parameters, lazy_difference


def difference(trained: Parameters, received: Parameters) -> dict[str, Array]:
    """What training changed: trained minus received, tensor by tensor."""
    return materialize(lazy_difference(trained, received))
