"""Secure aggregation in `site.yaml`: the peers whose keys people of the site have checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from hanse.core.values.schema import Name, Strict
from hanse.core.values.sums.ready import MOST_MEMBERS


def _fingerprint(value: str) -> str:
    """Refuse what is neither a fingerprint nor 12 words; the words are read where they are used."""
    text = " ".join(value.lower().split())
    if " " not in text and not (len(text) == 64 and set(text) <= set("0123456789abcdef")):
        raise ValueError("a fingerprint has 64 hexadecimal digits, or is written as 12 words")
    return text


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class SitePeers(Strict):
    """Whom this site masks its numbers with."""

    minimum: int = Field(3, ge=3, le=MOST_MEMBERS, description="Fewest members of a cell.")
    colluders: int = Field(
        1,
        ge=1,
        le=MOST_MEMBERS - 2,
        description="Members of a cell that are assumed to collude with the aggregator, at least, whatever a "
        "plan says.",
    )
    peers: dict[Name, Fingerprint] = Field(
        default_factory=dict,
        max_length=1_000,
        description="Signing keys that were checked by telephone: a fingerprint of 64 hexadecimal digits, or "
        "12 words. `hanse collaborator trust NAME` writes one.",
    )
    trust_on_first_use: bool = Field(
        False,
        description="Whether keys that no person has checked count too; then the aggregator's operator could "
        "be all other members.",
    )
