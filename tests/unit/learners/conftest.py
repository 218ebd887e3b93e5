"""Sites, tasks and files of user code."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from hanse.core.values.site import DataSources, Site

Write = Callable[[str, str], Path]


@pytest.fixture
def site() -> Site:
    return Site("north", DataSources("north", {}), seed=5)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of user code into a folder of its own."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write_file


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """What a test's user code does to the import system ends with the test."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name in ("federation", "helper") and name not in modules]:
        del sys.modules[name]
