"""What a worker can and cannot do, tried by real processes; also where the machine offers fewer layers."""

import asyncio
import fcntl
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hanse.errors import StorageError, TaskError
from hanse.sandbox.confine import Confined, Confinement
from hanse.sandbox.probe import available
from hanse.sandbox.process import WorkerProcess, WorkerSpec
from hanse.sandbox.watch import INTERVAL_S, Exceeded

SUPPORT = Path(__file__).parent / "sandbox"
REFUSALS = ("PermissionError", "FileNotFoundError", "ProcessLookupError", "ConnectionRefusedError")

Try = Callable[..., Any]
Loop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def spec(tmp_path: Path, *, refused: str = "", **confinement: Any) -> WorkerSpec:
    return WorkerSpec(
        module="hanse.trials",
        workspace=tmp_path / "workspace",
        log=tmp_path / "worker.log",
        confinement=Confinement(**confinement),
        environment={"PYTHONPATH": str(SUPPORT), "TRIAL_REFUSED": refused},
    )


async def call(worker: WorkerProcess, name: str, *arguments: Any) -> Any:
    await worker.channel.send({"call": name, "with": arguments})
    answer = await worker.channel.receive()
    return answer and answer["result"]


def attempt(spec: WorkerSpec, name: str, *arguments: Any) -> Any:
    """Have a fresh worker call one of the trials; its result, or the name of the error it met."""

    async def run() -> Any:
        worker = await WorkerProcess.start(spec)
        try:
            return await call(worker, name, *arguments)
        finally:
            await worker.stop()

    return asyncio.run(run())


@pytest.fixture(scope="module", autouse=True)
def here() -> Confined:
    confined = asyncio.run(available())
    if confined.gaps:
        pytest.skip("; ".join(confined.gaps))
    return confined


MACHINES = pytest.mark.parametrize(
    "refused",
    [
        pytest.param("", id="all layers"),
        pytest.param("mount_setattr", id="without mounts"),
        pytest.param("unshare", id="without namespaces"),
        pytest.param("uid_map", id="without mapping of users"),
        pytest.param("proc", id="without a /proc of its own"),
        pytest.param("landlock_create_ruleset", id="without Landlock"),
    ],
    scope="module",
)
"""A machine that has all layers, and others that lack one, by what they refuse."""


@pytest.fixture(scope="module")
def attempt_there(refused: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Try]:
    """Have one worker call trials, on one of the machines."""
    with asyncio.Runner() as loop:
        worker = loop.run(WorkerProcess.start(spec(tmp_path_factory.mktemp("worker"), refused=refused)))
        yield lambda name, *arguments: loop.run(call(worker, name, *arguments))
        loop.run(worker.stop())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "site.key"
    path.write_text("the key")
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("how", ["read", "read_in_a_thread", "read_in_a_subprocess"])
@MACHINES
def test_a_worker_cannot_read_the_key_of_its_site(attempt_there: Try, secret: Path, how: str) -> None:
    assert attempt_there(how, str(secret)) in REFUSALS


@MACHINES
def test_a_worker_cannot_write_outside_its_workspace(attempt_there: Try, tmp_path: Path) -> None:
    assert attempt_there("write", str(tmp_path / "planted")) in REFUSALS
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("file", ["environ", "mem", "maps"])
@MACHINES
def test_a_worker_cannot_look_into_the_process_that_started_it(attempt_there: Try, file: str) -> None:
    assert attempt_there("read", f"/proc/{os.getpid()}/{file}") in REFUSALS


@MACHINES
def test_a_worker_does_not_see_how_other_processes_were_started(attempt_there: Try) -> None:
    assert attempt_there("read", f"/proc/{os.getpid()}/cmdline") in REFUSALS
    assert os.getpid() not in attempt_there("processes")


@MACHINES
def test_a_worker_reads_of_itself_and_of_the_machine_what_libraries_ask_for(attempt_there: Try) -> None:
    assert "processor" in attempt_there("read", "/proc/cpuinfo")
    assert "MemTotal" in attempt_there("read", "/proc/meminfo")
    assert "VmRSS" in attempt_there("status_of_itself_in_a_thread")


@MACHINES
def test_a_worker_can_neither_read_nor_change_the_shared_memory_of_others(attempt_there: Try) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as shared:
        shared.write(b"weights")
        shared.flush()

        assert attempt_there("read", shared.name) in REFUSALS
        attempt_there("write", shared.name)
        assert Path(shared.name).read_bytes() == b"weights"


@pytest.mark.parametrize("kind", ["shmget", "msgget", "semget", "mq_open"])
@MACHINES
def test_a_worker_has_no_memory_and_no_queues_that_outlive_its_processes(
    attempt_there: Try, kind: str
) -> None:
    assert attempt_there("make_ipc", kind) in REFUSALS


@MACHINES
def test_a_worker_cannot_signal_the_process_that_started_it(attempt_there: Try) -> None:
    assert attempt_there("kill", os.getpid()) in REFUSALS


@MACHINES
def test_a_worker_cannot_connect_to_the_machine(attempt_there: Try, listener: socket.socket) -> None:
    assert attempt_there("connect", socket.AF_INET, listener.getsockname()) in REFUSALS


@MACHINES
def test_no_datagram_leaves_a_worker(attempt_there: Try) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.1)

        attempt_there("send_datagram", receiver.getsockname()[1])

        with pytest.raises(TimeoutError):
            receiver.recv(4)


@pytest.mark.parametrize("abstract", [False, True], ids=["with a path", "abstract"])
@MACHINES
def test_a_worker_cannot_connect_to_local_sockets(attempt_there: Try, tmp_path: Path, abstract: bool) -> None:
    address = f"\0hanse-test-{os.getpid()}" if abstract else str(tmp_path / "bus")
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(address)
        bus.listen()

        assert attempt_there("connect", socket.AF_UNIX, address) in REFUSALS


@MACHINES
def test_a_worker_holds_no_privileges_and_gets_none(attempt_there: Try) -> None:
    assert int(attempt_there("capabilities"), 16) == 0
    assert attempt_there("unshare_user") in REFUSALS


@MACHINES
def test_a_worker_cannot_hide_what_it_holds_from_its_starter(attempt_there: Try) -> None:
    assert attempt_there("hide_from_others") in REFUSALS


@MACHINES
def test_a_worker_computes_with_numpy_in_its_workspace(tmp_path: Path, refused: str) -> None:
    assert attempt(spec(tmp_path, refused=refused), "numpy_in_the_workspace") == 1e6
    assert (tmp_path / "workspace" / "ones.npy").exists()


def test_what_is_granted_can_be_read_or_written(tmp_path: Path) -> None:
    data, results = tmp_path / "data", tmp_path / "results"
    data.mkdir(), results.mkdir()
    (data / "x").write_text("42")
    granted = spec(tmp_path, read=(data,), write=(results,))

    assert attempt(granted, "read", str(data / "x")) == "42"
    assert attempt(granted, "write", str(data / "y")) == "OSError"  # read-only
    assert attempt(granted, "write", str(results / "y")) == 4


@MACHINES
def test_a_grant_is_reached_by_the_name_it_was_given_by(tmp_path: Path, refused: str) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x").write_text("42")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    granted = spec(tmp_path, refused=refused, read=(tmp_path / "data",))

    assert attempt(granted, "read", str(tmp_path / "data" / "x")) == "42"


def test_processes_of_one_worker_talk_over_local_sockets(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path), "talk_over_a_local_socket") == "hello"


@pytest.mark.torch
@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ("mount_setattr", "shared memory (/dev/shm) is refused"),
        ("mount_setattr landlock_create_ruleset", "local sockets are refused"),
    ],
)
def test_a_data_loader_with_processes_that_could_not_pass_on_anything_fails_at_once(
    tmp_path: Path, refused: str, reason: str
) -> None:
    found = attempt(spec(tmp_path, refused=refused), "load_by_processes")

    assert f"a DataLoader with num_workers=2 cannot work here: {reason}" in found


@pytest.mark.torch
def test_a_data_loader_with_processes_works_where_all_layers_are(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path), "load_by_processes") == [0, 1, 2, 3]


def test_a_granted_network_is_reached(tmp_path: Path, listener: socket.socket) -> None:
    granted = spec(tmp_path, network=True)

    assert attempt(granted, "connect", socket.AF_INET, listener.getsockname()) == "connected"


def test_nothing_secret_is_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")

    found = attempt(spec(tmp_path), "environment")

    assert "s3cret" not in found.values()
    assert found["HOME"] == str(tmp_path / "workspace")


@LOOPS
def test_a_worker_inherits_no_open_file(tmp_path: Path, secret: Path, loop: Loop) -> None:
    async def run() -> list[str]:
        worker = await WorkerProcess.start(spec(tmp_path))
        found = await call(worker, "open_files")
        await worker.stop()
        return found

    with secret.open() as file, asyncio.Runner(loop_factory=loop) as runner:
        os.set_inheritable(file.fileno(), True)
        found = runner.run(run())

    kinds = [name.partition(":")[0] for name in found]
    assert kinds == ["/dev/null", "pipe", "pipe", "socket"]


def test_memory_is_limited(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path, memory_bytes=400 << 20), "allocate", 500 << 20) == "MemoryError"


def exceeded_by(spec: WorkerSpec, name: str, *arguments: Any) -> tuple[str, Exceeded | None]:
    """Have a worker call a trial, and wait for its end; how it ended, and for which limit."""

    async def run() -> tuple[str, Exceeded | None]:
        worker = await WorkerProcess.start(spec)
        try:
            await worker.channel.send({"call": name, "with": arguments})
            async with asyncio.timeout(30):
                ended = await worker.wait()
            return ended, worker.exceeded
        finally:
            await worker.stop()

    return asyncio.run(run())


def outlasts(spec: WorkerSpec, name: str, *arguments: Any) -> Any:
    """Have a worker call a trial, and be looked at a few times after it; what came of the trial."""

    async def run() -> Any:
        worker = await WorkerProcess.start(spec)
        try:
            found = await call(worker, name, *arguments)
            await asyncio.sleep(5 * INTERVAL_S)
            assert worker.exceeded is None
            assert await call(worker, "capabilities")
            return found
        finally:
            await worker.stop()

    return asyncio.run(run())


KINDS = ["files in memory", "mappings", "mappings put away", "mapped files in memory", "children"]


@pytest.mark.parametrize("kind", KINDS)
@MACHINES
def test_a_worker_is_ended_whose_processes_hold_too_much_memory_together(
    tmp_path: Path, refused: str, kind: str
) -> None:
    ended, limit = exceeded_by(
        spec(tmp_path, refused=refused, memory_bytes=200 << 20), "hold", kind, 280 << 20
    )

    assert limit is not None
    assert ended == f"was ended because {limit.what}"
    assert "more than the 210 MB that `worker: {memory: ...}` permits" in limit.what
    assert "Raise `memory`" in limit.mend


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_folder_that_no_path_names_blinds_no_watch(tmp_path: Path, kind: str) -> None:
    _, limit = exceeded_by(spec(tmp_path, memory_bytes=200 << 20), "hold_unseen", kind, 280 << 20)

    assert limit is not None
    assert "`worker: {memory: ...}`" in limit.what


@pytest.mark.skipif(os.getuid() != 0, reason="only a superuser may see the size of a mapped file")
def test_a_file_in_memory_of_which_one_page_is_mapped_counts_whole(tmp_path: Path) -> None:
    limited = spec(tmp_path, memory_bytes=200 << 20)

    _, limit = exceeded_by(limited, "hold", "files in memory mapped by one page", 280 << 20)

    assert limit is not None


def test_a_worker_with_more_open_files_than_can_be_looked_at_is_ended(tmp_path: Path) -> None:
    ended, _ = exceeded_by(spec(tmp_path, memory_bytes=200 << 20), "open_too_many_files", 20, 4_000)

    assert "its processes had more than 65536 files open" in ended


@MACHINES
def test_memory_that_no_look_sees_is_refused(attempt_there: Try) -> None:
    assert attempt_there("hold_secret_memory") in REFUSALS


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_may_hold_what_its_limit_permits(tmp_path: Path, kind: str) -> None:
    assert outlasts(spec(tmp_path, memory_bytes=200 << 20), "hold", kind, 80 << 20) == "held"


def test_memory_that_processes_have_in_common_counts_once(tmp_path: Path) -> None:
    limited = spec(tmp_path, memory_bytes=300 << 20)

    assert outlasts(limited, "fork_after_allocating", 100 << 20, 6) == "in common"


def test_shared_memory_is_limited_and_counts(tmp_path: Path) -> None:
    limited = spec(tmp_path, memory_bytes=100 << 20)

    assert attempt(limited, "size_of_shared_memory") == 100 << 20
    _, limit = exceeded_by(limited, "write_files", "/dev/shm", 24 << 20, 4)
    assert limit is not None
    assert "memory" in limit.what


@MACHINES
def test_a_worker_is_ended_that_has_too_many_processes(tmp_path: Path, refused: str) -> None:
    if os.getuid() != 0 and refused not in ("unshare", "uid_map"):
        pytest.skip("the kernel counts, and refuses more")
    limited = spec(tmp_path, refused=refused, processes=60)

    ended, limit = exceeded_by(limited, "fork", 100)

    assert "more than the 60 processes and threads that `worker: {processes: ...}` permits" in ended
    assert limit is not None
    assert "Raise `processes`" in limit.mend
    assert outlasts(limited, "fork", 40) == 40


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a disk that other programs leave alone."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def leaving(disk: Path, room: int) -> int:
    """A reserve that leaves so much room for a worker."""
    return shutil.disk_usage(disk).free - room


@MACHINES
def test_a_worker_is_ended_that_leaves_less_of_the_disk_free_than_it_has_to(
    small_disk: Path, refused: str
) -> None:
    limited = spec(small_disk, refused=refused, disk_reserve=leaving(small_disk, 40 << 20))

    ended, limit = exceeded_by(limited, "write_files", ".", 15 << 20, 6)

    assert "left less of the disk free than `disk_reserve`" in ended
    assert limit is not None
    assert "Free some space" in limit.mend


@pytest.mark.parametrize("how", ["write_deleted_files", "write_mapped_files"])
def test_files_that_are_deleted_and_held_count_as_written(small_disk: Path, how: str) -> None:
    limited = spec(small_disk, disk_reserve=leaving(small_disk, 40 << 20))

    ended, _ = exceeded_by(limited, how, 15 << 20, 6)

    assert "left less of the disk free than `disk_reserve`" in ended


def test_a_file_larger_than_the_disk_has_room_for_is_refused(small_disk: Path) -> None:
    limited = spec(small_disk, disk_reserve=leaving(small_disk, 40 << 20))

    assert attempt(limited, "write", "large", 60 << 20) == "OSError"


def test_a_worker_that_writes_little_is_not_ended_for_what_others_take(small_disk: Path) -> None:
    limited = spec(small_disk, disk_reserve=leaving(small_disk, -(1 << 30)))

    assert outlasts(limited, "write_files", ".", 1000, 3) == "written"


@MACHINES
def test_what_a_worker_leaves_in_its_temporary_directory_is_deleted(tmp_path: Path, refused: str) -> None:
    attempt(spec(tmp_path, refused=refused), "leave_in_the_temporary_directory")

    assert list((tmp_path / "workspace" / "tmp").iterdir()) == []


def test_what_a_worker_leaves_where_no_path_leads_is_deleted(tmp_path: Path) -> None:
    attempt(spec(tmp_path), "leave_in_deep_folders")

    assert list((tmp_path / "workspace" / "tmp").iterdir()) == []


def test_what_an_earlier_worker_left_in_the_temporary_directory_is_deleted(tmp_path: Path) -> None:
    temporary = tmp_path / "workspace" / "tmp"
    temporary.mkdir(parents=True)
    (temporary / "left").touch()  # by one whose starter was killed

    assert attempt(spec(tmp_path), "read", str(temporary / "left")) == "FileNotFoundError"


def test_a_worker_has_the_usual_number_of_open_files_where_its_starter_has_more(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path, open_files=512), "open_file_limit") == [512, 4096]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's library has no such setting")
def test_memory_that_a_task_freed_serves_the_next(tmp_path: Path) -> None:
    blocks, size = 8, 10_000_000

    new_pages = attempt(spec(tmp_path), "faults_of_the_second_use", blocks, size)

    assert new_pages < blocks * size // resource.getpagesize() // 10


def test_files_are_limited(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path, file_bytes=1000), "write", "large", 1001) == "OSError"


@pytest.mark.skipif(os.getuid() == 0, reason="the kernel does not count the superuser's processes")
def test_processes_are_limited(tmp_path: Path) -> None:
    assert attempt(spec(tmp_path, processes=20), "fork", 30) == "BlockingIOError"


def test_a_secret_that_can_be_read_is_reported(tmp_path: Path, secret: Path) -> None:
    async def gaps(**confinement: Any) -> tuple[str, ...]:
        worker = await WorkerProcess.start(spec(tmp_path, secrets=(secret,), **confinement))
        await worker.stop()
        return worker.confined.gaps

    assert asyncio.run(gaps()) == ()
    [gap] = asyncio.run(gaps(read=(tmp_path,)))
    assert str(secret) in gap


@MACHINES
def test_only_a_worker_with_a_file_tree_of_its_own_is_locked_in(tmp_path: Path, refused: str) -> None:
    async def confined() -> Confined:
        worker = await WorkerProcess.start(spec(tmp_path, refused=refused))
        await worker.stop()
        return worker.confined

    found = asyncio.run(confined())

    assert found.locked_in() == (refused in ("", "proc", "landlock_create_ruleset"))
    assert any("no file tree of its own" in gap for gap in found.gaps) != found.locked_in()


def test_a_machine_that_can_confine_nothing_is_reported(tmp_path: Path) -> None:
    async def confined() -> Confined:
        worker = await WorkerProcess.start(spec(tmp_path, refused="unshare landlock_create_ruleset"))
        await worker.stop()
        return worker.confined

    found = asyncio.run(confined())

    assert not found.files
    assert "Landlock" in found.gaps[0]


def test_what_a_worker_left_in_its_workspace_is_not_run_before_the_next_is_confined(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    customs = workspace / ".local/lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    customs.mkdir(parents=True)
    for name in (workspace / "json.py", customs / "json.py", customs / "usercustomize.py"):
        name.write_text(f"open({str(tmp_path / 'escaped')!r}, 'w')")

    attempt(spec(tmp_path), "environment")

    assert not (tmp_path / "escaped").exists()


@LOOPS
def test_a_worker_prints_much_and_ends_when_asked(tmp_path: Path, loop: Loop) -> None:
    async def run() -> tuple[Any, str]:
        worker = await WorkerProcess.start(spec(tmp_path))
        return await call(worker, "print_lines", 50_000), await worker.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(run()) == (50_000, "ended")


@pytest.mark.parametrize(
    ("name", "argument", "ended"),
    [
        ("exit_with", 3, "exited with status 3"),
        ("die_of", signal.SIGKILL, "was killed by SIGKILL (out of memory?)"),
        ("die_of", signal.SIGSEGV, "was killed by SIGSEGV"),
    ],
)
@MACHINES
def test_how_a_worker_ended_is_told(
    tmp_path: Path, refused: str, name: str, argument: int, ended: str
) -> None:
    async def run() -> str:
        worker = await WorkerProcess.start(spec(tmp_path, refused=refused))
        assert await call(worker, name, argument) is None
        told = await worker.wait()
        assert "ready" in worker.log_tail()
        await worker.stop()
        return told

    assert asyncio.run(run()) == ended


def locked(path: Path) -> None:
    """Wait for whoever holds this lock to be gone."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


@MACHINES
def test_stopping_a_worker_that_does_not_listen_ends_all_it_started(tmp_path: Path, refused: str) -> None:
    async def run() -> str:
        worker = await WorkerProcess.start(spec(tmp_path, refused=refused))
        await call(worker, "leave_children_with_locks", str(tmp_path / "workspace"))
        await worker.channel.send({"call": "hang", "with": []})
        return await worker.stop(grace_s=0.1)

    assert asyncio.run(run()) == "was stopped"
    for name in ("own", "near", "far"):
        locked(tmp_path / "workspace" / name)


@MACHINES
def test_a_process_that_is_never_the_same_for_long_ends_with_its_worker(tmp_path: Path, refused: str) -> None:
    assert attempt(spec(tmp_path, refused=refused), "flee", str(tmp_path / "workspace" / "own")) == "fled"

    locked(tmp_path / "workspace" / "own")


PARENT = """
import asyncio, os, sys
from pathlib import Path
from hanse.sandbox.process import WorkerProcess, WorkerSpec

async def run():
    workspace, support, refused = sys.argv[1:]
    environment = {"PYTHONPATH": support, "TRIAL_REFUSED": refused}
    worker = await WorkerProcess.start(
        WorkerSpec("hanse.trials", Path(workspace), Path(workspace + ".log"), environment=environment)
    )
    await worker.channel.send({"call": "leave_children_with_locks", "with": [workspace]})
    await worker.channel.receive()
    await worker.channel.send({"call": "hang", "with": []})
    print("locked", flush=True)
    await worker.wait()

asyncio.run(run())
"""


@MACHINES
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, refused: str) -> None:
    command = [
        *(sys.executable, "-c", PARENT, str(tmp_path / "workspace")),
        *(str(SUPPORT), refused),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "locked\n"

        parent.kill()

    for name in ("own", "near", "far"):
        locked(tmp_path / "workspace" / name)


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="has no attribute 'main'"):
        asyncio.run(
            WorkerProcess.start(WorkerSpec("hanse.sandbox.channel", tmp_path / "work", tmp_path / "log"))
        )


@pytest.mark.parametrize(("path", "problem"), [("/absent", "does not exist"), ("/", "the whole disk")])
def test_a_grant_that_cannot_be_meant_is_refused(tmp_path: Path, path: str, problem: str) -> None:
    with pytest.raises(TaskError, match=problem):
        attempt(spec(tmp_path, read=(Path(path),)), "environment")


@pytest.mark.parametrize("name", ["tmp", "results"])
def test_a_link_laid_in_the_workspace_does_not_open_what_it_leads_to(tmp_path: Path, name: str) -> None:
    workspace = tmp_path / "workspace"
    for directory in (tmp_path / "keys", workspace, workspace / "tmp", workspace / "results"):
        directory.mkdir()
    (workspace / name).rmdir()
    (workspace / name).symlink_to("../keys")

    with pytest.raises(TaskError, match="behind a symbolic link"):
        attempt(spec(tmp_path, write=(workspace / "results",)), "environment")


def test_a_worker_that_takes_too_long_to_start_is_ended(tmp_path: Path) -> None:
    hasty = WorkerSpec("hanse.trials", tmp_path / "work", tmp_path / "log", start_timeout_s=0.001)

    with pytest.raises(TaskError, match="was not ready after"):
        attempt(hasty, "environment")


def test_a_workspace_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot be written"):
        attempt(WorkerSpec("hanse.trials", tmp_path / "file" / "work", tmp_path / "log"), "environment")
