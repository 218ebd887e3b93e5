"""Events of a site's suspension."""

from __future__ import annotations

from typing import Literal

from hanse.core.values.schema import Strict


class SiteSuspended(Strict):
    """A site failed in too many rounds in a row; it is not asked until it is reinstated."""

    kind: Literal["SiteSuspended"] = "SiteSuspended"
    site: str
    round_number: int
    reason: str


class SuspensionWaived(Strict):
    """A site would have been suspended, but then too few would be left; it is asked on."""

    kind: Literal["SuspensionWaived"] = "SuspensionWaived"
    site: str
    round_number: int
    reason: str


class SiteReinstated(Strict):
    """A site that was suspended is asked again from the next round on.

    Attributes:
        by: The operator who took it back; empty where the run did of itself.
    """

    kind: Literal["SiteReinstated"] = "SiteReinstated"
    site: str
    by: str = ""
    reason: str
