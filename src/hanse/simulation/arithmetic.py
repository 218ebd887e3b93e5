"""The number of threads of linear algebra in the simulator's own process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from hanse.sandbox.environment import arithmetic_threads


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Have linear algebra use this many threads: with another number it rounds differently.

    Holds for the libraries that the process has loaded (BLAS, OpenMP, torch), and by the environment for
    those that it loads meanwhile, and for processes that it starts. As it was afterwards, except that a
    library that was loaded meanwhile keeps its number.

    Args:
        threads: Number of threads; at least 1.
    """
    variables = arithmetic_threads(threads)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with threadpool_limits(limits=threads), _torch_limited(threads):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _torch_limited(threads: int) -> Iterator[None]:
    # Never imported for this: it takes seconds, and torch reads the environment when it is.
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
