"""Standing of a site that needs keys of sealed files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """Standing of a site: whether its instance gets the keys of a run.

    Attributes:
        ready: Whether it gets them now.
        reason: Why it gets none; empty where it gets them, or will in a moment.
    """

    ready: bool
    reason: str = ""
