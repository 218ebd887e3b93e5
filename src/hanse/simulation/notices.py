"""Notices of virtual sites, said once, however many sites and rounds repeat them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

MOST_SITES = 3
"""Sites of which the same notice is said."""

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
"""Shows a line to the person who simulates."""


def log(line: str) -> None:
    """Say a line in the log of the process."""
    logger.warning("%s", line)


class Notices:
    """Takes the notices of all sites; see `hanse.learners.notices`.

    Args:
        say: Shows one of them.
    """

    def __init__(self, say: Say = log) -> None:
        self._say = say
        self._sites: dict[str, set[str]] = {}

    def add(self, site: str, notices: Iterable[str]) -> None:
        """Say what a site's task noted, unless it was said before."""
        for text in notices:
            sites = self._sites.setdefault(text, set())
            if site in sites or len(sites) >= MOST_SITES:
                continue
            sites.add(site)
            last = " (the same at other sites is not said again)" if len(sites) == MOST_SITES else ""
            self._say(f"at {site}: {text}{last}")
