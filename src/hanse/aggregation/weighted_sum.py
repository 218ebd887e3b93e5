"""From weights that a rule gives to updates to one delta: what such rules have in common."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.aggregation.dtypes import check_alike
from hanse.aggregation.fold import lazy_weighted_mean
from hanse.aggregation.robust import median
from hanse.core.values.parameters import Array, Parameters, is_floating
from hanse.errors import UpdateError


def check_updates(updates: Sequence[Parameters], what: str) -> None:
    """Refuse updates of which a rule can make nothing.

    Raises:
        UpdateError: There are none, or they do not fit together.
    """
    if not updates:
        raise UpdateError(f"nothing to aggregate: there is no update to take a {what} of")
    check_alike(updates, what)


def lazy_weighted_sum(updates: Sequence[Parameters], coefficients: Sequence[float]) -> dict[str, Array]:
    """Sum of the floating-point tensors, each times its update's coefficient; of all others the median.

    Whole numbers and booleans (the number of batches that a normalisation layer has seen) do not belong to
    the vector whose length such a rule looks at: no coefficient says anything of them.

    Args:
        updates: Deltas that fit together.
        coefficients: One an update, at least 0, together at most 1 but for rounding.

    Returns:
        The tensors in the order and with the dtypes of the first update; the floating-point ones are summed
        in float64 where they are read, see `hanse.core.values.lazy.LazyTensor`.
    """
    floating = [name for name, array in updates[0].items() if is_floating(array.dtype)]
    others = [name for name in updates[0] if name not in set(floating)]
    summed = lazy_weighted_mean([_only(update, floating) for update in updates], coefficients, total=1.0)
    middle = median([_only(update, others) for update in updates]) if others else {}
    return {name: summed[name] if name in summed else middle[name] for name in updates[0]}


def _only(update: Parameters, names: Sequence[str]) -> dict[str, Array]:
    return {name: update[name] for name in names}
