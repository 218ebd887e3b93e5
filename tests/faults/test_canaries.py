"""Numbers of a sealed model come to no disk: not when parties are killed, nor when plan code shows them."""

from __future__ import annotations

import importlib.util
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.test_full_disk import largest_file
from tests.integration.deployment import Run, Running, done
from tests.processes import until
from tests.rehearsal.canaries import CHUNK, shared_folders, traces
from tests.rehearsal.federation import Rehearsal, rehearsed
from tests.tpm.swtpm import SWTPM

from hanse.core.run.round_events import UpdateAccepted

HERE = SWTPM is not None and importlib.util.find_spec("tpm2_pytss") is not None
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HERE, reason="swtpm or tpm2-pytss (the extra `tpm`) is not installed"),
]


@dataclass(frozen=True)
class Searched:
    """A rehearsal of a careless plan, and the search for its model.

    Attributes:
        rehearsal: The parties.
        root: Holds everything of them.
        since_s: When it began, in seconds since 1970.
    """

    rehearsal: Rehearsal
    root: Path
    since_s: float

    @property
    def marks(self) -> list[bytes]:
        """Numbers of the model and of updates, as bytes and as text."""
        once = self.rehearsal.mark[:8]
        return [once.tobytes(), once[::-1].tobytes(), str(once[:2].tolist())[1:-1].encode()]

    def found(self) -> list[str]:
        """Files with numbers of the model, of all parties and of the machine."""
        return traces(self.marks, [self.root, *shared_folders()], self.since_s)

    def begun(self, site: str) -> Path:
        """The memory folder of a site, as its agent sees it, once plan code has shown the model."""
        agent, directory = (
            self.rehearsal.deployment.agent(site),
            self.rehearsal.deployment.sites[site].directory,
        )
        folder = Path(f"/proc/{agent.pid}/root{directory}/sealed")
        until(lambda: next(folder.rglob("began"), None), f"a task of {site}")
        return folder

    def submit(self) -> Run:
        """Begin a run of a plan whose code shows the model wherever it can."""
        code = ["careless.py", "sites.toml", "owner.json"]
        plan = self.rehearsal.released_plan(code=code, learner="careless:learner")
        return self.rehearsal.deployment.submit_file(plan)

    def hold(self, site: str) -> Path:
        """Have the first task of a site wait, until the file is gone."""
        held = self.rehearsal.deployment.sites[site].data / "hold-1"
        held.touch()
        return held


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    root, since_s = tmp_path_factory.mktemp("canaries"), time.time() - 1
    with rehearsed(root, {"a": "whole", "b": "whole"}) as rehearsal:
        yield Searched(rehearsal, root, since_s)


def crash(process: subprocess.Popen[bytes] | Running) -> None:
    """Have a process crash, with leave to write as large a core dump as it likes."""
    with suppress(PermissionError):  # a lower limit is for good, unless the tests have privileges for that
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if isinstance(process, Running):
        process.end(signal.SIGSEGV)
    else:
        process.send_signal(signal.SIGSEGV)
        process.wait()


def test_the_search_finds_numbers_wherever_they_lie_in_a_file(tmp_path: Path) -> None:
    mark = b"0123456789abcdef"
    (tmp_path / "across").write_bytes(bytes(CHUNK - 5) + mark)
    (tmp_path / "without").write_bytes(mark[:-1])

    assert traces([mark], [tmp_path], 0) == [str(tmp_path / "across")]


def test_a_model_stays_in_memory_when_everything_is_killed(searched: Searched) -> None:
    deployment = searched.rehearsal.deployment
    held = [searched.hold(site) for site in "ab"]
    run = searched.submit()
    memory = [searched.begun(site) for site in "ab"]
    assert all(traces(searched.marks, [folder], searched.since_s) for folder in memory), "nothing to be found"
    while_held = searched.found()

    deployment.agent("a").worker().send(signal.SIGKILL)
    deployment.agent("b").end(signal.SIGKILL)
    deployment.aggregator.end(signal.SIGKILL)
    deployment.agent("a").end(signal.SIGKILL)
    for party in (deployment.agent("a"), deployment.agent("b"), deployment.aggregator):
        party.must_be_gone()
    for file in held:
        file.unlink()

    assert while_held == []
    assert searched.found() == []
    deployment.start_aggregator()
    run.stop()
    for site in "ab":
        searched.rehearsal.start_agent(site)


def test_a_model_stays_in_memory_when_a_site_has_no_room_and_the_owner_opens_it(
    searched: Searched, tmp_path: Path
) -> None:
    deployment = searched.rehearsal.deployment
    deployment.agent("a").says("connected to the aggregator")
    with largest_file(deployment.agent("a"), 1_000_000):
        run = searched.submit()
        deployment.agent("a").says("File too large")
        run.over()
        without_room = searched.found()
    run.resume()
    run.finished()
    done("run", "export", run.run_id, "-d", deployment.directory, "-o", tmp_path)
    model = searched.rehearsal.opened(tmp_path / "model.sealed")

    assert without_room == []
    assert searched.found() == []
    assert model["mark"].tobytes() == searched.rehearsal.mark.tobytes()
    assert {event.metrics["loss"] for event in run.events if isinstance(event, UpdateAccepted)} == {0.0}


@pytest.mark.parametrize("who", ["aggregator", "a"])
def test_a_party_that_crashes_leaves_no_core_dump(searched: Searched, tmp_path: Path, who: str) -> None:
    code = "import time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        crash(other)
    if not list(tmp_path.glob("core*")):
        pytest.skip("this machine writes no core dumps to the folder of a process")
    deployment = searched.rehearsal.deployment
    party = deployment.aggregator if who == "aggregator" else deployment.agent(who)
    party.says("ready at" if who == "aggregator" else "connected to")

    crash(party)
    party.must_be_gone()

    assert list((searched.root / "parties").glob("core*")) == []
