"""A federation's aggregator to test with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.federations import FederationFixture
from tests.stand_ins import IdleSupervisor, ThreadWorker


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> FederationFixture:
    return FederationFixture.new(tmp_path_factory.mktemp("federation") / "aggregator")


@pytest.fixture
def fixture(
    tmp_path: Path, template: FederationFixture, monkeypatch: pytest.MonkeyPatch
) -> FederationFixture:
    """A federation of a, b and c whose runs have no worker: the test is their workflow."""
    monkeypatch.setattr("hanse.aggregator.run_registry.Supervisor", IdleSupervisor)
    return template.copied(tmp_path / "aggregator")


@pytest.fixture
def working(
    tmp_path: Path, template: FederationFixture, monkeypatch: pytest.MonkeyPatch
) -> FederationFixture:
    """A federation of a, b and c whose runs have their workers on threads of this process."""
    monkeypatch.setattr(ThreadWorker, "started", [], raising=False)
    fixture = template.copied(tmp_path / "aggregator")
    fixture.reopen(worker_process=ThreadWorker)
    return fixture
