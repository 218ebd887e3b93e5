"""Looks at a worker; real ones are watched in tests/integration/test_sandbox.py."""

import asyncio
import errno
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from hanse.files.deleting import delete_tree
from hanse.sandbox import watch
from hanse.sandbox.confine import Confinement
from hanse.sandbox.effort import TooMuchToLookAtError
from hanse.sandbox.usage import MappedFiles, Memory, OpenFiles
from hanse.sandbox.watch import Taken, Watch, too_much_memory, written_below

GB = 10**9
MB = 1 << 20


class Disk(NamedTuple):
    f_bavail: int
    f_frsize: int = 1
    f_favail: int = 900
    f_files: int = 1000


class Machine:
    """What the watch sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
        self.disk = Disk(10 * GB)
        self.memory = Memory(0, 0)
        self.proportional = 0
        self.threads = {1: 1}
        self.mapped = MappedFiles({}, {}, set())
        self.open = True
        self.workspace = workspace
        monkeypatch.setattr(watch.os, "statvfs", lambda _: self.disk)
        monkeypatch.setattr(watch.usage, "supported", lambda: True)
        monkeypatch.setattr(watch.usage, "threads_below", lambda *_: self.threads)
        monkeypatch.setattr(watch.usage, "memory", lambda *_, **__: self.memory)
        monkeypatch.setattr(watch.usage, "proportional_memory", lambda _: self.proportional)
        monkeypatch.setattr(watch.usage, "open_files", lambda *_: OpenFiles({}, {}))
        monkeypatch.setattr(watch.usage, "mapped_files", lambda *_: self.mapped)
        monkeypatch.setattr(watch.usage, "can_look_into", lambda _: self.open)

    def watch(self, *, held: bool = False, counted: bool = False, **confinement: int) -> Watch:
        watched = Watch(1, Confinement(**confinement), self.workspace, held=held, counted=counted)
        watched.begin()
        return watched

    def write(self, size: int, name: str = "file") -> None:
        with (self.workspace / name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        self.disk = self.disk._replace(f_bavail=self.disk.f_bavail - size)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_a_worker_within_its_limits_is_left_alone(machine: Machine) -> None:
    watched = machine.watch(memory_bytes=GB, processes=10, disk_reserve=GB)
    machine.memory = Memory(GB // 2, GB // 2)
    machine.threads = {1: 10, 2: 3}

    assert watched.look() is None


def test_shared_and_private_memory_count_together(machine: Machine) -> None:
    watched = machine.watch(memory_bytes=GB)
    machine.memory, machine.proportional = Memory(GB // 2, GB // 2 + 1), GB // 2

    found = watched.look()

    assert found is not None
    assert "held 1000 MB of memory, more than the 1000 MB" in found.what


def test_what_a_fork_has_in_common_counts_once(machine: Machine) -> None:
    watched = machine.watch(memory_bytes=GB)
    machine.memory, machine.proportional = Memory(8 * GB, 0), GB

    assert watched.look() is None


def test_threads_count_as_processes(machine: Machine) -> None:
    watched = machine.watch(processes=10)
    machine.threads = {1: 1, 2: 13}

    found = watched.look()

    assert found is not None
    assert "more than the 10 processes and threads" in found.what


def test_what_the_kernel_holds_is_not_looked_at(machine: Machine) -> None:
    watched = machine.watch(held=True, counted=True, memory_bytes=GB, processes=10)
    machine.memory, machine.proportional = Memory(2 * GB, 0), 2 * GB
    machine.threads = {1: 100}

    assert watched.look() is None
    assert not watched.needed
    assert machine.watch(counted=True, processes=10, disk_reserve=0).needed


def test_memory_that_the_kernel_found_too_much_is_told_without_a_figure() -> None:
    assert "together held more than the 1000 MB" in too_much_memory(GB).what


def test_a_worker_that_writes_into_the_reserve_is_ended(machine: Machine) -> None:
    watched = machine.watch(disk_reserve=10 * GB - 50 * MB)
    machine.write(40 * MB)
    assert watched.look() is None

    machine.write(20 * MB, "more")

    found = watched.look()
    assert found is not None
    assert "it wrote 63 MB and left less of the disk free" in found.what


def test_what_an_earlier_worker_wrote_is_not_its_doing(machine: Machine) -> None:
    machine.write(100 * MB)
    watched = machine.watch(disk_reserve=10 * GB)

    assert watched.look() is None
    machine.write(MB // 2, "little")
    assert watched.look() is None


def test_a_worker_that_begins_on_a_full_disk_may_not_fill_it_further(machine: Machine) -> None:
    machine.write(100 * MB)
    watched = machine.watch(disk_reserve=10 * GB)

    machine.write(10 * MB, "more")

    assert watched.look() is not None


def test_what_others_write_is_not_its_doing(machine: Machine) -> None:
    watched = machine.watch(disk_reserve=10 * GB - 50 * MB)
    machine.write(40 * MB)
    machine.disk = Disk(GB)

    assert watched.look() is None


def test_room_that_others_made_is_not_its_to_take(machine: Machine) -> None:
    machine.disk = Disk(9 * GB)
    watched = machine.watch(disk_reserve=10 * GB)
    machine.disk = Disk(11 * GB)
    assert watched.look() is None

    machine.disk = Disk(10 * GB)
    machine.write(5 * MB)

    assert watched.look() is not None


def test_many_files_on_a_disk_that_can_hold_few_more_end_a_worker(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST_FILES", 100)
    watched = machine.watch(disk_reserve=0)
    for number in range(60):
        (machine.workspace / f"{number}").touch()
    assert watched.look() is None

    machine.disk = machine.disk._replace(f_favail=5)

    found = watched.look()
    assert found is not None
    assert "it made 60 files" in found.what


def test_a_disk_that_counts_no_files_has_enough_of_them(machine: Machine) -> None:
    watched = machine.watch(disk_reserve=0)
    machine.disk = Disk(GB, f_favail=0, f_files=0)

    assert watched.look() is None


def test_a_look_that_fails_is_repeated_and_told_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watch(1, Confinement(processes=10), machine.workspace, interval_s=0.001)
    looks = []

    def too_many_files(*_: object) -> dict[int, int]:
        looks.append(1)
        if len(looks) < 4:
            raise OSError(errno.EMFILE, "Too many open files")
        return {1: 100}

    monkeypatch.setattr(watch.usage, "threads_below", too_many_files)

    found = asyncio.run(watched.exceeded())

    assert "processes" in found.mend
    assert caplog.text.count("cannot be looked at now") == 1


def refuse(*_: object, **__: object) -> Memory:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_worker_that_cannot_be_looked_at_any_more_is_ended(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_BLIND_S", 0.01)
    monkeypatch.setattr(watch.usage, "memory", refuse)
    watched = Watch(1, Confinement(memory_bytes=GB), machine.workspace, interval_s=0.001)

    found = asyncio.run(watched.exceeded())

    assert "cannot be held to its limits: [Errno 13] Permission denied" in found.what


def test_a_worker_that_could_never_be_looked_into_is_measured_from_outside(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.open = False
    watched = machine.watch(memory_bytes=GB)
    monkeypatch.setattr(watch.usage, "memory", refuse)
    monkeypatch.setattr(watch.usage, "memory_from_outside", lambda _: Memory(0, 2 * GB))

    found = watched.look()

    assert found is not None
    assert "held 2000 MB" in found.what


def test_a_worker_with_too_much_to_look_at_is_ended(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Memory:
        raise TooMuchToLookAtError("its processes had more than 65536 files open")

    monkeypatch.setattr(watch.usage, "memory", refuse)

    found = machine.watch(memory_bytes=GB).look()

    assert found is not None
    assert "more than 65536 files open" in found.what
    assert "open and map fewer files" in found.mend


def test_a_look_that_does_not_end_ends_the_worker(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()
    monkeypatch.setattr(watch, "_HUNG_S", 0.05)
    monkeypatch.setattr(watch.usage, "memory", lambda *_, **__: ends.wait(10) and Memory(0, 0))

    found = asyncio.run(Watch(1, Confinement(memory_bytes=GB), machine.workspace).exceeded())

    ends.set()
    assert "a look at it did not end" in found.what


@pytest.mark.parametrize(("took", "pause"), [(0.001, 0.2), (0.05, 1.0), (0.5, 2.0), (30, 2.0)])
def test_however_long_a_look_takes_the_next_is_soon(took: float, pause: float) -> None:
    assert watch.pause_after(took, 0.2) == pytest.approx(pause)


def test_a_deleted_file_that_is_only_mapped_counts_as_written(machine: Machine) -> None:
    watched = machine.watch(disk_reserve=10 * GB)
    machine.mapped.deleted[machine.workspace.stat().st_dev, 7] = 30 * MB
    machine.disk = machine.disk._replace(f_bavail=10 * GB - 30 * MB)

    found = watched.look()

    assert found is not None
    assert "it wrote 31 MB" in found.what


@pytest.mark.parametrize("folder", ["workspace", "temporary directory"])
def test_a_deleted_file_of_unknown_size_counts_as_too_large(machine: Machine, folder: str) -> None:
    watched = machine.watch(disk_reserve=10 * GB)
    place = {"workspace": os.fsencode(machine.workspace), "temporary directory": b"/.tmp"}[folder]
    machine.disk = machine.disk._replace(f_bavail=10 * GB - 30 * MB)
    machine.mapped.unmeasured.add(b"/usr/lib/libz.so")  # replaced by the machine's owner
    assert watched.look() is None

    machine.mapped.unmeasured.add(place + b"/file")

    assert watched.look() is not None


def test_a_file_that_goes_meanwhile_hides_none_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(bytes(MB))
    listed = os.scandir

    @contextmanager
    def one_goes(folder: str) -> Iterator[list[os.DirEntry[str]]]:
        with listed(folder) as entries:
            found = list(entries)
        Path(found[0]).unlink()
        yield found

    monkeypatch.setattr(watch.os, "scandir", one_goes)

    assert written_below(tmp_path).size >= 2 * MB


def test_a_folder_is_measured_with_what_is_below_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to("/usr")

    found = written_below(tmp_path)

    assert found.files == 3
    assert MB <= found.size < 2 * MB


def test_a_folder_of_very_many_files_is_not_counted_to_the_end(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}").touch()

    assert written_below(tmp_path, most=10) == Taken(math.inf, 11)


def test_what_is_written_where_no_path_leads_is_not_hidden(machine: Machine) -> None:
    watched = machine.watch(disk_reserve=9 * GB)
    here = os.open(machine.workspace, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    machine.disk = Disk(8 * GB)

    found = watched.look()

    delete_tree(machine.workspace)
    assert found is not None
    assert "it wrote more than can be counted" in found.what


def test_what_an_earlier_worker_hid_does_not_help_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "written_below", lambda _: Taken(math.inf, 1))
    watched = machine.watch(disk_reserve=9 * GB)

    machine.disk = Disk(8 * GB)

    assert watched.look() is not None
