"""What every test may use."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from tests.thorough import examples

# The machine may be busy: how long an example takes says nothing about the code.
settings.register_profile(
    "hanse", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("hanse")

# Images of containers often set this; then each process that a test starts compiles all of Hanse anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that runs the tests in the background has them ignore Ctrl-C, and so every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = ("test_cases.py", "test_local_federation.py", "test_pages.py", "test_notebooks.py", "test_folders.py")
"""Files with few tests that take minutes: begun last, one of them would have the other processes wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only slow tests are asked for, leave out files without one: importing all takes half a minute."""
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    marking = (path for path in (collection_path, collection_path.with_name("conftest.py")) if path.exists())
    return None if any("mark.slow" in path.read_text(encoding="utf-8") for path in marking) else True


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_disks() -> Iterator[None]:
    """No test cuts the power: whether this process waits for a disk, no test can see otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    """Runs coroutines on one loop, as the services do."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run
