"""Labels and feature names, which have to be the same at every site: stated by a plan, or carried by a model.

Sites train one model only where number 1 is the same label, and column 3 the same feature, at all of them.
A plan may state both. Where it does not, the first model carries the SHA-256 of those that were found in the
data of the site that made it, in a tensor of its own, and every site compares them at home. No site sends
its own: a digest of a few words can be guessed, and no plan declares it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.core.values.canonical import canonical_json
from hanse.core.values.parameters import AGREED, Array, Parameters
from hanse.core.values.site import LabelValue, Site
from hanse.core.values.wording import named
from hanse.errors import TaskError
from hanse.learners.notices import notice

TENSOR = AGREED
"""Name of the tensor, shape (2, 8), float64: a row for the labels and a row for the features. Each is the
SHA-256 in whole numbers of 32 bits, or zeros where there is nothing to compare."""

LABELS, FEATURES = "labels", "features"
_ROWS = (LABELS, FEATURES)
_NAMED = 30
"""Labels or features that a notice names."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Labels and feature names of the examples at a site.

    Attributes:
        labels: All labels, in the order in which the model counts them; None where there are none.
        features: Names of the inputs, in their order; None where they have none.
        from_data: Which of the two, `labels` and `features`, come from the site's data, so that other sites
            may have others; the rest is written in the plan's code.
    """

    labels: tuple[LabelValue, ...] | None = None
    features: tuple[LabelValue, ...] | None = None
    from_data: frozenset[str] = frozenset(_ROWS)

    @staticmethod
    def of(site: Site) -> Agreement:
        """Labels and features that the plan states, as a site knows them."""
        return Agreement(plain(site.labels), plain(site.features), frozenset())

    def part(self, row: str) -> tuple[LabelValue, ...] | None:
        """The labels or the features."""
        return self.labels if row == LABELS else self.features


def plain(values: Iterable[Any] | None) -> tuple[LabelValue, ...] | None:
    """Labels or names as plain values, of which 1, 1.0 and True are one: files write them in either way."""
    return None if values is None else tuple(map(_plain, values))


def check_stated(own: Agreement, stated: Agreement, site: str) -> None:
    """Hold what a learner has against what the plan states.

    Raises:
        TaskError: They differ; the site's log names both.
    """
    for row in _ROWS:
        here, agreed = own.part(row), stated.part(row)
        if here is not None and agreed is not None and here != agreed:
            order = ", in another order" if sorted(map(repr, here)) == sorted(map(repr, agreed)) else ""
            notice(f"{row} that the plan states: {_named(agreed)}. {row} here{order}: {_named(here)}")
            raise _differ(row, site, "the plan states")


def sealed(parameters: Mapping[str, Array], own: Agreement | None, stated: Agreement) -> dict[str, Array]:
    """A first model with the digests of what other sites have to have too, unless the plan states it.

    Raises:
        TaskError: A tensor has the name that is taken for the digests.
    """
    if TENSOR in parameters:
        raise TaskError(
            f"the model has a tensor {TENSOR!r}", mend="Give it another name: Hanse uses this one."
        )
    if own is None:
        return dict(parameters)
    rows = [_digest(own.part(row)) if row in _to_compare(own, stated) else np.zeros(8) for row in _ROWS]
    table = np.stack(rows)
    return {**parameters, TENSOR: table} if table.any() else dict(parameters)


def unsealed(received: Parameters, own: Agreement | None, stated: Agreement, site: str) -> dict[str, Array]:
    """The model that a learner gets, without the digests, which are compared.

    Args:
        received: The model as it is exchanged.
        own: What the learner has; None of a learner that does not say.
        stated: What the plan states.
        site: Name of the site, for the error.

    Raises:
        TaskError: They are those of other labels or features than here; the site's log says which are here.
    """
    table = received.get(TENSOR)
    if own is not None:
        for index, row in enumerate(_ROWS):
            _compare(row, None if table is None else table[index], own, stated, site)
    return {name: array for name, array in received.items() if name != TENSOR}


def _compare(row: str, digest: Array | None, own: Agreement, stated: Agreement, site: str) -> None:
    here = own.part(row)
    if digest is None or not digest.any() or not _is_digest(digest):
        if row in _to_compare(own, stated):
            notice(
                f"neither the plan nor the model says which {row} it is for, so that those here are compared "
                f"with no other site's: {_named(here)}. State them in the plan: `{row}: [...]`"
            )
    elif here is None:
        notice(f"{row} here have no names. The model was made where they have: give the learner data frames")
        raise _differ(row, site, "the first model was made for")
    elif not np.array_equal(digest, _digest(here)):
        notice(f"{row} here: {_named(here)}. The model was made where they are others, or in another order")
        raise _differ(row, site, "the first model was made for")


def _differ(row: str, site: str, by: str) -> TaskError:
    return TaskError(
        f"the {row} of the data at {site} are not those that {by}",
        mend=f"The site's log names them. Agree on the {row} and their order, and state them in the plan.",
    )


def _to_compare(own: Agreement, stated: Agreement) -> set[str]:
    """Names of the parts that other sites may have otherwise, and that no plan states."""
    return {row for row in own.from_data if own.part(row) is not None and stated.part(row) is None}


def _digest(values: tuple[LabelValue, ...] | None) -> Array:
    # Text and number apart: the label "1" is not the label 1. What no encoding knows is written out.
    typed = [[isinstance(value, str), _encodable(str(value))] for value in values or ()]
    digest = hashlib.sha256(b"hanse agreement\n" + canonical_json(typed)).digest()
    return np.frombuffer(digest, ">u4").astype(np.float64)


def _is_digest(row: Array) -> bool:
    """Check that a row still holds a digest: a workflow of the plan's own may have changed every tensor."""
    return bool(((row >= 0) & (row < 2**32) & (row == np.floor(row))).all())


def _named(values: tuple[LabelValue, ...] | None) -> str:
    return named([repr(value) for value in values or ()], _NAMED)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> LabelValue:
    value = value.item() if isinstance(value, np.generic) else value
    match value:
        case bool():
            return int(value)
        case float() if math.isfinite(value) and value == int(value):
            return int(value)
        case str() | int() | float():
            return value
        case _:
            return str(value)
