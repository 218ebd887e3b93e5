"""Commands to test with: called in this process or in one of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """What came of a command."""

    code: int
    out: str
    err: str


Hanse = Callable[..., Ended]
"""Carries out one command line, given as its arguments."""
