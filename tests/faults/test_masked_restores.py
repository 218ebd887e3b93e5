"""Disks that are full, restored or copied, keys and certificates that change, in mid-sum of a masked run."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.faults.masked_invariants import check_masked, check_one_vector_each, check_site, check_trained
from tests.faults.processes import Arrival
from tests.faults.small_federation import SmallFederation, in_small_federation
from tests.integration.deployment import Run, done
from tests.integration.masked_plans import MODEL, SITES, model_plan, trained

from hanse.core.run.round_events import TaskFailed, UpdateAccepted
from hanse.core.run.sums.events import SiteReady
from hanse.wire.tensors import write_file

pytestmark = pytest.mark.timeout(300)

ONE_SUM: dict[str, Any] = {"rounds": 1, "tasks": {"train": MODEL["tasks"]["train"]}}
BEFORE_EXCHANGE = "before order train 1 at a"
PREPARED = "after sum prepared at a"
BEFORE_READY_LEAVES = "after sum ready at a"
BEFORE_ROSTER = "before record RosterAccepted exchange=1 at a"
BEFORE_MASKED = "after sum roster at a"
BEFORE_MASKED_LEAVES = "after sum masked recorded at a"
LARGE = 500_000
"""Numbers of a model whose vector is larger than `SMALL_DISK`."""
SMALL_DISK = 1_000_000


@pytest.fixture(scope="module")
def shared() -> Iterator[SmallFederation]:
    with in_small_federation(*SITES, checked=True) as small_federation:
        yield small_federation


@pytest.fixture
def small_federation(shared: SmallFederation) -> Iterator[SmallFederation]:
    yield shared
    shared.gates.open()
    shared.federation.release()


@pytest.fixture
def apart() -> Iterator[SmallFederation]:
    """A federation for a test after which a site can release nothing more, or no sum is whole."""
    with in_small_federation(*SITES, checked=True) as small_federation:
        yield small_federation


def at(small_federation: SmallFederation, step: str) -> Arrival:
    """Wait until a process comes to a step, and is held there."""
    arrival = small_federation.gates.next()
    assert arrival is not None, f"nobody came to {step}"
    return arrival


def hold(small_federation: SmallFederation, *steps: str) -> None:
    small_federation.gates.hold = lambda step: step.name in steps


def stopped_at(small_federation: SmallFederation, step: str) -> None:
    """Kill the agent of `a` at a step to which it comes."""
    arrival = at(small_federation, step)
    small_federation.party("a").end(signal.SIGKILL)
    small_federation.party("a").must_be_gone()
    arrival.release()


def what_is_temporary(folder: str, names: list[str]) -> list[str]:
    """Files that an agent which was killed left, and that may be deleted while its folder is copied."""
    return names if Path(folder).name == "tmp" else []


def restored(small_federation: SmallFederation, folder: Path, copied_at: str) -> Run:
    """A run whose member `a` is put back to an earlier step just before its masked vector leaves."""
    here = small_federation.federation.sites["a"].directory
    hold(small_federation, copied_at)
    run = small_federation.federation.submit_file(model_plan(small_federation.federation, **ONE_SUM))
    stopped_at(small_federation, copied_at)
    shutil.copytree(here, folder / "yesterday", ignore=what_is_temporary)
    hold(small_federation, BEFORE_MASKED_LEAVES)
    small_federation.restart("a")
    stopped_at(small_federation, BEFORE_MASKED_LEAVES)
    shutil.rmtree(here)
    shutil.copytree(folder / "yesterday", here)
    small_federation.gates.open()
    small_federation.restart("a")
    return run


@pytest.mark.parametrize("copied_at", [PREPARED, BEFORE_READY_LEAVES, BEFORE_ROSTER, BEFORE_MASKED])
def test_a_folder_with_its_vector_that_is_put_back_tries_again_with_the_same_vector(
    small_federation: SmallFederation, tmp_path: Path, copied_at: str
) -> None:
    run = restored(small_federation, tmp_path, copied_at)

    run.finished()
    check_masked(small_federation, model_plan(small_federation.federation, **ONE_SUM), tmp_path, last=1)


def test_a_folder_of_before_the_exchange_makes_another_vector_which_never_leaves(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    run = restored(small_federation, tmp_path, BEFORE_EXCHANGE)

    status = run.over()
    assert status.phase == "failed"
    assert "a: task train failed (roster)" in status.reason
    assert len({e.statement.body["commitment"] for e in run.events if isinstance(e, SiteReady)}) == len(SITES)
    assert not [e for e in run.events if isinstance(e, UpdateAccepted) and e.site == "a"]
    check_one_vector_each(run)
    check_site(small_federation.federation.sites["a"])


def test_two_runs_at_a_time_have_a_sum_each(small_federation: SmallFederation, tmp_path: Path) -> None:
    federation = small_federation.federation
    plan = model_plan(federation, rounds=1)
    for site in federation.sites.values():
        site.hold("train", 1)
    runs = [federation.submit_file(plan) for _ in range(2)]
    for site in federation.sites.values():
        site.held(runs[0].run_id, "train", 1)
    federation.release()

    for run in runs:
        run.finished()
    check_masked(small_federation, plan, tmp_path, last=2)


def test_a_certificate_is_renewed_in_the_midst_of_a_sum(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    federation = small_federation.federation
    plan = model_plan(federation, **ONE_SUM)
    federation.sites["b"].hold("train", 1)
    run = federation.submit_file(plan)
    run.until(SiteReady, site="a")
    small_federation.party("a").end(signal.SIGTERM)
    federation.sites["a"].settings(renew_at=0.999999)
    small_federation.restart("a")
    small_federation.party("a").says("the certificate was renewed")
    federation.release()

    run.finished()
    federation.sites["a"].settings(renew_at=0.33)
    small_federation.kill("a")
    check_masked(small_federation, plan, tmp_path, last=1)


@pytest.mark.parametrize("full_at", ["after report train 1 at a", BEFORE_MASKED])
def test_a_vector_for_which_there_is_no_room_waits_for_it(
    small_federation: SmallFederation, tmp_path: Path, full_at: str
) -> None:
    federation = small_federation.federation
    plan = model_plan(federation, **ONE_SUM, options={"size": LARGE})
    write_file(plan.parent / "first.safetensors", {"weight": np.zeros(LARGE, np.float32)})
    hold(small_federation, full_at)
    run = federation.submit_file(plan)
    arrival = at(small_federation, full_at)
    pid = small_federation.party("a").pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALL_DISK, hard))
    arrival.release()
    said = small_federation.party("a").says("try 2 failed: cannot ")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    run.finished()
    assert "File too large" in said
    model = run.model(tmp_path / "home")["weight"]
    assert model == pytest.approx(np.resize(trained(1), LARGE), abs=1e-6)
    check_one_vector_each(run)
    check_site(federation.sites["a"])


def test_a_key_that_is_rotated_in_mid_plan_is_refused_by_the_members_that_checked_the_old_one(
    apart: SmallFederation,
) -> None:
    small_federation, federation = apart, apart.federation
    plan = model_plan(federation, **ONE_SUM)
    federation.submit_file(plan).finished()
    small_federation.party("b").end(signal.SIGTERM)
    done("collaborator", "signing-key", "--rotate", "--site", federation.sites["b"].directory)
    small_federation.restart("b")

    run = federation.submit_file(plan)

    status = run.over()
    assert status.phase == "failed"
    assert "(roster)" in status.reason
    assert not [event for event in run.events if isinstance(event, UpdateAccepted) and event.site != "b"]
    assert "b" in small_federation.party("a").log.read_text()


def test_of_two_agents_of_a_copied_folder_one_vector_is_summed_or_none(
    apart: SmallFederation, tmp_path: Path
) -> None:
    small_federation, federation = apart, apart.federation
    hold(small_federation, BEFORE_EXCHANGE)
    run = federation.submit_file(model_plan(federation, **ONE_SUM))
    stopped_at(small_federation, BEFORE_EXCHANGE)
    small_federation.gates.open()
    copy = federation.root / "99-copy" / "site"
    shutil.copytree(federation.sites["a"].directory, copy, ignore=what_is_temporary)
    small_federation.restart("a")
    other = federation.command("collaborator", "start", "--site", copy)

    status = run.over()
    other.end(signal.SIGKILL)
    other.must_be_gone()
    small_federation.kill("a")
    check_one_vector_each(run)
    check_site(federation.sites["a"])
    if status.phase == "finished":
        check_trained(run, run.export(tmp_path / "home"))
    else:
        assert {e.site for e in run.events if isinstance(e, TaskFailed)} == {"a"}
