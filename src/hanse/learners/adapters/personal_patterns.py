"""Patterns under `personal` in a plan, for learners that have to know them while they are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stated:
    """The patterns of a plan.

    Attributes:
        patterns: The patterns.
        kept: Names of entries of a model that fit one and that the learner keeps in its local state, because
            they are not arrays.
    """

    patterns: tuple[str, ...]
    kept: set[str] = field(default_factory=set)


_STATED: ContextVar[Stated | None] = ContextVar("_STATED", default=None)


@contextmanager
def stating(patterns: Sequence[str]) -> Iterator[Stated]:
    """Have the learner that is made meanwhile know the patterns."""
    stated = Stated(tuple(patterns))
    token = _STATED.set(stated)
    try:
        yield stated
    finally:
        _STATED.reset(token)


def stated_patterns() -> tuple[str, ...]:
    """The patterns of the plan; none outside of a session."""
    stated = _STATED.get()
    return () if stated is None else stated.patterns


def note_kept(names: Iterable[str]) -> None:
    """Note entries of a model that stay at the site, and that the learner keeps itself."""
    stated = _STATED.get()
    if stated is not None:
        stated.kept.update(names)
