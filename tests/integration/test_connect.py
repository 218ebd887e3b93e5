"""A deployed federation, operated from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, deployed
from tests.processes import VISIBLE

import hanse
from hanse.errors import RunError
from hanse.interactive.operator import Operator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VISIBLE, reason="processes are found by /proc"),
]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """With sites `a` and `b`."""
    with deployed(tmp_path_factory.mktemp("federation"), "a", "b") as deployment:
        yield deployment


@pytest.fixture
def operator(federation: Deployment) -> Iterator[Operator]:
    with hanse.connect(federation.directory) as operator:
        yield operator


def test_a_plan_is_submitted_watched_and_exported_and_gives_the_model_of_a_simulation(
    federation: Deployment, operator: Operator, tmp_path: Path
) -> None:
    plan = federation.plan()
    sites = {name: {"numbers": site.data} for name, site in federation.sites.items()}

    run = operator.submit(plan, name="trial-from-python")
    ended = operator.watch(run)
    files = operator.export(run, tmp_path / "results")

    assert (ended.run_id, ended.phase) == ("trial-from-python", "finished")
    assert set(files) == {"journal", "plan", "model"}
    simulated = hanse.simulate(plan, sites)
    assert ended.model is not None
    assert ended.model.digest == simulated.digest
    assert hanse.load(tmp_path / "results").keys() == (simulated.model or {}).keys()


def test_a_run_is_stopped_and_resumed(federation: Deployment, operator: Operator) -> None:
    federation.sites["a"].hold("train", 1)
    run = operator.submit(federation.plan(), sites=["a", "b"])
    federation.sites["a"].held(run.run_id, "train", 1)

    operator.stop(run, "enough for today")

    with pytest.raises(RunError, match="was stopped: enough for today"):
        operator.watch(run)
    federation.release()
    operator.resume(run)
    assert operator.watch(run).phase == "finished"


def test_sites_and_runs_are_listed(federation: Deployment, operator: Operator) -> None:
    run = operator.submit(federation.plan())

    assert [site.name for site in operator.sites()] == ["a", "b"]
    assert operator.runs()[0].run_id == run.run_id
    operator.watch(run)
