"""The session of Python that runs a simulation: as it was, when the simulation has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hanse.learners.bundle import modules_kept
from hanse.learners.seeding import generators_kept


@contextmanager
def session_kept(code: Iterable[str]) -> Iterator[None]:
    """Run a plan's code in this block without a trace in the modules and random generators of the session.

    Args:
        code: The files of the plan's code, relative to their folder.
    """
    with modules_kept(code), generators_kept():
        yield
