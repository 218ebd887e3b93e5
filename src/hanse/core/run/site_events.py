"""Events of a site's suspension."""

from __future__ import annotations

from typing import Literal

from hanse.core.values.schema import Strict


class SiteSetAside(Strict):
    """A site failed in too many rounds in a row; it is not asked until it is taken back."""

    kind: Literal["SiteSetAside"] = "SiteSetAside"
    site: str
    round_number: int
    reason: str


class SiteKept(Strict):
    """A site would have been set aside, but then too few would be left; it is asked on."""

    kind: Literal["SiteKept"] = "SiteKept"
    site: str
    round_number: int
    reason: str


class SiteTakenBack(Strict):
    """A site that was set aside is asked again from the next round on.

    Attributes:
        by: The operator who took it back; empty where the run did of itself.
    """

    kind: Literal["SiteTakenBack"] = "SiteTakenBack"
    site: str
    by: str = ""
    reason: str
