"""Strangers without a certificate take up connections, and members notice nothing of it."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.flood import Flood
from tests.integration.deployment import Deployment, Started, deployed

CONNECTIONS = 2_000
_FILES = 1_024
"""Files that a process may have open on many machines."""


def with_few_files(log: Path, arguments: list[str]) -> Started:
    """Start a command under the usual limit on open files, which it cannot raise."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({_FILES}, {_FILES}))"
    main = "import sys; from hanse.cli.main import run; sys.exit(run(sys.argv[1:]))"
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", f"{limited}; {main}", *arguments], stdout=output, stderr=output
        )


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CONNECTIONS:
        pytest.skip(f"{hard} files can be opened here, too few to hold {CONNECTIONS} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_site_joins_and_works_while_thousands_of_strangers_come_and_go(
    tmp_path: Path, many_files: None
) -> None:
    with deployed(tmp_path) as federation:
        federation.aggregator.end()
        federation.start_aggregator(with_few_files).says("which leaves room for 768; more are turned away")
        port = int(federation.url.rpartition(":")[2])
        with Flood(port, kept=_FILES + 200) as flood:
            flood.reached(_FILES + 200)

            _join_and_work(federation)

            flood.reached(CONNECTIONS)


def _join_and_work(federation: Deployment) -> None:
    federation.join("a")
    federation.start_agent("a")
    federation.submit().finished()
