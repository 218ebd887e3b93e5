"""Groups in a folder that looks like a tree of them, and in the machine's own where this user may."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.sandbox import cgroup
from hanse.sandbox.cgroup import Groups, NoGroupError, WorkerGroup, delegated
from hanse.sandbox.confine import OWN_PROCESSES, Confinement

LIMITED = Confinement(memory_bytes=1 << 30, processes=100)


class Tree:
    """A machine's groups, as a service in one of them finds them.

    Attributes:
        process: The service's folder in /proc.
        own: The group that it was started in.
    """

    def __init__(self, root: Path, group: str = "/system.slice/hanse.service") -> None:
        self.process, mounted = root / "proc", root / "cgroup"
        self.own = mounted / group.lstrip("/")
        self.own.mkdir(parents=True)
        self.process.mkdir()
        (self.process / "mountinfo").write_text(
            f"22 1 0:20 / /proc rw,relatime - proc proc rw\n"
            f"30 25 0:26 / {mounted} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
        )
        self.is_in(group)
        (self.own / "cgroup.controllers").write_text("cpu memory pids\n")
        (self.own / "cgroup.subtree_control").write_text("\n")
        (self.own / "cgroup.procs").write_text("1\n")

    def is_in(self, group: str) -> None:
        (self.process / "cgroup").write_text(f"4:memory:/elsewhere\n0::{group}\n")

    def groups(self) -> Groups:
        return delegated(self.process, superuser=False)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_service_makes_room_for_groups_and_has_them_limited(tree: Tree) -> None:
    groups = tree.groups()

    assert groups.base == tree.own
    assert (tree.own / "hanse-service" / "cgroup.procs").read_text() == "0"
    assert (tree.own / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_service_that_has_moved_already_finds_the_group_above(tree: Tree) -> None:
    tree.groups()
    (tree.own / "cgroup.subtree_control").write_text("memory pids\n")
    tree.is_in("/system.slice/hanse.service/hanse-service")

    assert tree.groups().base == tree.own


def test_a_worker_is_limited_with_all_that_it_starts(tree: Tree) -> None:
    group = tree.groups().make(LIMITED)
    group.add(4711)

    assert int((group.path / "memory.max").read_text()) >= 1 << 30
    assert (group.path / "memory.swap.max").read_text() == "0"
    assert (group.path / "memory.oom.group").read_text() == "1"
    assert (group.path / "pids.max").read_text() == str(100 + OWN_PROCESSES)
    assert (group.path / "cgroup.procs").read_text() == "4711"


def test_what_is_not_limited_is_left_alone(tree: Tree) -> None:
    group = tree.groups().make(Confinement())

    assert list(group.path.iterdir()) == []


def test_each_worker_has_a_group_of_its_own_and_empty_ones_go(tree: Tree) -> None:
    groups = tree.groups()
    first, second = groups.make(Confinement()), groups.make(Confinement())

    assert first.path != second.path
    assert not first.path.exists()


def test_the_end_of_a_group_kills_what_is_in_it(tree: Tree) -> None:
    group = tree.groups().make(LIMITED)

    group.end()

    assert (group.path / "cgroup.kill").read_text() == "1"


@pytest.mark.parametrize(
    ("events", "ran_out"),
    [("low 0\noom 3\noom_kill 1\n", True), ("low 0\noom_kill 0\n", False), ("", False), ("nonsense", False)],
)
def test_a_group_tells_whether_the_kernel_ended_it_for_its_memory(
    tree: Tree, events: str, ran_out: bool
) -> None:
    group = tree.groups().make(LIMITED)
    (group.path / "memory.events").write_text(events)

    assert group.ran_out_of_memory() is ran_out


def test_a_group_that_says_nothing_did_not_run_out(tmp_path: Path) -> None:
    assert not WorkerGroup(tmp_path / "gone").ran_out_of_memory()


def refusal(tree: Tree, *, superuser: bool = False) -> str:
    with pytest.raises(NoGroupError) as caught:
        delegated(tree.process, superuser=superuser)
    return str(caught.value)


def test_a_group_that_was_not_given_away_is_left_alone(tree: Tree) -> None:
    assert "was given none" in refusal(tree, superuser=True)
    assert not (tree.own / "hanse-service").exists()


def test_a_superuser_uses_what_is_marked_as_given_away(tree: Tree) -> None:
    try:
        os.setxattr(tree.own, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system has no such attributes")

    assert delegated(tree.process, superuser=True).base == tree.own


def test_a_group_without_the_controllers_is_not_used(tree: Tree) -> None:
    (tree.own / "cgroup.controllers").write_text("cpu pids\n")

    assert "memory cannot be limited" in refusal(tree)


def test_a_machine_with_the_first_version_alone_has_none(tree: Tree) -> None:
    (tree.process / "cgroup").write_text("4:memory:/elsewhere\n")

    assert "none of version 2" in refusal(tree)


def test_a_machine_that_is_no_linux_has_none(tmp_path: Path) -> None:
    with pytest.raises(NoGroupError, match="No such file"):
        delegated(tmp_path, superuser=False)


def test_where_other_processes_are_in_the_group_it_is_left_as_it_was(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = cgroup._write

    def busy(path: Path, text: str) -> None:
        if path.name == "cgroup.subtree_control":
            raise OSError(errno.EBUSY, "busy")
        written.append((path.parent.name, path.name))
        write(path, text)

    monkeypatch.setattr(cgroup, "_write", busy)

    assert "other processes are in this one" in refusal(tree)
    assert written == [("hanse-service", "cgroup.procs"), ("hanse.service", "cgroup.procs")]


def test_a_limit_that_the_kernel_refuses_leaves_no_group(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = tree.groups()

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(cgroup, "_write", refuse)

    with pytest.raises(NoGroupError, match="refused"):
        groups.make(LIMITED)
    assert list(tree.own.glob("hanse-worker-*")) == []


@pytest.fixture
def real_group() -> Iterator[WorkerGroup]:
    """A group in this machine's own tree, without limits."""
    try:
        group = Groups(cgroup._own_group(Path("/proc/self"))).make(Confinement())
    except NoGroupError as error:
        pytest.skip(str(error))
    yield group
    group.end()


def test_processes_end_with_their_group(real_group: WorkerGroup) -> None:
    if not (real_group.path / "cgroup.kill").exists():
        pytest.skip("this kernel cannot end a group")
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"]) as worker:
        real_group.add(worker.pid)

        real_group.end()

        assert worker.wait(10) == -9
        deadline = time.monotonic() + 10
        while real_group.path.exists() and time.monotonic() < deadline:
            real_group.end()
    assert not real_group.path.exists()
