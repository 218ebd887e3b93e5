"""A federation of two sites that the tests of a module share, and leave as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.deployment import Deployment, deployed
from tests.processes import VISIBLE

from hanse.core.run.run import TERMINAL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(not VISIBLE, reason="processes are found by /proc"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The aggregator and the agents of `a` and `b`, running."""
    with deployed(tmp_path_factory.mktemp("federation"), "a", "b") as deployment:
        yield deployment


@pytest.fixture
def federation(shared: Deployment) -> Iterator[Deployment]:
    """The shared one, in which nothing is under way before the test and after it."""
    yield shared
    shared.release()
    for run in shared.runs():
        if run.status.phase not in TERMINAL:
            run.stop()
