"""Components of a machine held against a policy, in words for an administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.policy.fields import Anything, accepts, in_words

IMAGE = "Find out which image the machine started; if it is a new one that you trust, add a row for it."
HOST = "The host sets this at the start: have the machine started as the policy says."


@dataclass(frozen=True, slots=True)
class Row:
    """Expected values of one image.

    Attributes:
        name: Name of the image.
        values: Expected value of each component: text, a number, or any with a reason.
    """

    name: str
    values: Mapping[str, object]


def compared(
    component: str, aspect: Aspect, expected: object, seen: object, mend: str, note: str = ""
) -> Check:
    """A component that has to be as the policy says."""
    fits = accepts(expected, seen)
    return Check(
        component=component,
        aspect=aspect,
        tier=Tier.AFFIRMING if fits else Tier.CONTRAINDICATED,
        expected=in_words(expected),
        seen=in_words(seen),
        note=note,
        mend="" if fits else mend,
    )


def nearest(rows: Sequence[Row], seen: Mapping[str, object]) -> Row:
    """The row from which fewest of the values seen differ."""

    def differing(row: Row) -> int:
        return sum(not accepts(expected, seen[name]) for name, expected in row.values.items())

    return min(rows, key=differing)


def compared_rows(
    rows: Sequence[Row], seen: Mapping[str, object], aspects: Mapping[str, Aspect]
) -> list[Check]:
    """The components of an image, all held against one row: the one that fits, or else the nearest.

    Args:
        rows: The images of the policy.
        seen: Values of the evidence, by component.
        aspects: The trustworthiness claim of each component.
    """
    chosen = nearest(rows, seen)
    return [
        compared(
            name, aspects[name], expected, seen[name], IMAGE, _note(rows, chosen, name, expected, seen[name])
        )
        for name, expected in chosen.values.items()
    ]


def mixed_with(row: str) -> str:
    """A note that what was seen is the value of another image than the one held against."""
    return f"The value seen is of the row {row!r}: values of two images are mixed."


def _note(rows: Sequence[Row], chosen: Row, name: str, expected: object, seen: object) -> str:
    note = f"Held against the row {chosen.name!r}."
    if accepts(expected, seen):
        return note
    for other in rows:
        theirs = other.values[name]
        if not isinstance(theirs, Anything) and theirs == seen:
            return f"{note} {mixed_with(other.name)}"
    return note
