import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hanse.files.deleting import delete_tree
from hanse.sandbox import usage
from hanse.sandbox.effort import Effort, TooMuchToLookAtError

MB = 1 << 20
TRIALS = Path(__file__).parents[2] / "integration" / "sandbox"
NOWHERE = Path("/dev/shm")

pytestmark = pytest.mark.skipif(not usage.supported(), reason="processes are found by /proc")


@contextmanager
def running(code: str) -> Iterator[int]:
    """A process that runs some code and then waits; its id."""
    command = [sys.executable, "-c", f"{code}\nprint(flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)  # with all that it has started


def test_threads_and_processes_are_found_down_to_the_last() -> None:
    with running(
        "import os, threading, time\n"
        "for _ in range(2): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: os.write(w, b'x')\n"
        "    time.sleep(60)\n"
        "os.read(r, 1)"
    ) as process:
        found = usage.threads_below(process)

    assert found[process] == 3
    assert sorted(found.values()) == [1, 1, 3]


def test_children_are_found_where_the_kernel_lists_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_lists_children", lambda: False)
    with running("pass") as process:
        assert process in usage.threads_below(os.getpid())


def test_the_count_ends_after_the_most() -> None:
    assert len(usage.threads_below(1, most=1)) <= 2


def test_a_process_that_has_ended_has_nothing() -> None:
    with running("pass") as process:
        pass

    assert usage.threads_below(process) == {}
    assert usage.memory([process], NOWHERE).total == 0
    assert usage.proportional_memory([process]) == 0


def test_private_memory_is_measured() -> None:
    with running(f"held = b'x' * {100 * MB}") as process:
        found = usage.memory([process], NOWHERE)
        proportional = usage.proportional_memory([process])

    assert 100 * MB < found.private < 150 * MB
    assert 100 * MB < proportional < 150 * MB
    assert found.shared == 0


def test_a_file_in_memory_that_is_mapped_and_open_counts_once() -> None:
    with running(
        f"import mmap, os; held = os.memfd_create('x'); os.write(held, b'x' * {50 * MB})\n"
        f"mapped = [mmap.mmap(held, {50 * MB}) for _ in range(2)]"
    ) as process:
        found = usage.memory([process], NOWHERE)

    assert found.shared == 50 * MB


def test_a_mapping_that_several_processes_share_counts_once() -> None:
    with running(
        f"import mmap, os, time; held = mmap.mmap(-1, {50 * MB}); held[:] = b'x' * {50 * MB}\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0: time.sleep(60)"
    ) as process:
        found = usage.memory(list(usage.threads_below(process)), NOWHERE)

    assert found.shared == 50 * MB


def test_a_folder_in_memory_that_is_the_machines_does_not_count() -> None:
    assert usage.memory([os.getpid()], Path("/proc")).shared == usage.memory([os.getpid()], NOWHERE).shared


def test_a_file_in_memory_that_is_mapped_by_one_page_counts_whole() -> None:
    with running(
        f"import mmap, os, sys; sys.path.insert(0, {str(TRIALS)!r}); import trials\n"
        f"held = os.memfd_create('x'); os.write(held, b'x' * {50 * MB}); trials.map_one_page(held)"
    ) as process:
        if not may_measure(process):
            pytest.skip("this user may not see the size of a mapped file")
        found = usage.memory([process], NOWHERE)

    assert found.shared == 50 * MB


def may_measure(process: int) -> bool:
    try:
        next(Path(f"/proc/{process}/map_files").iterdir()).stat()
    except PermissionError:
        return False
    return True


def test_a_process_is_measured_from_outside_with_all_it_maps() -> None:
    with mmap.mmap(-1, 20 * MB) as mapped:
        mapped[:] = b"x" * (20 * MB)

        assert usage.memory_from_outside([os.getpid()]).shared >= 20 * MB


def test_a_process_that_cannot_be_looked_into_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage.can_look_into([os.getpid()])

    monkeypatch.setattr(usage.os, "listdir", refuse)

    assert not usage.can_look_into([os.getpid()])


def refuse(_: object) -> None:
    raise PermissionError


def test_an_open_folder_that_no_path_names_hides_nothing(tmp_path: Path) -> None:
    with running(
        f"import os; os.chdir({str(tmp_path)!r})\n"
        "for _ in range(25): os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        f"held = [os.open('.', os.O_RDONLY), os.open('file', os.O_CREAT | os.O_WRONLY)]\n"
        "held.append(os.memfd_create('x'))\n"
        f"os.unlink('file'); os.write(held[1], b'x' * {MB}); os.write(held[2], b'x' * {MB})"
    ) as process:
        found = usage.open_files([process])

    delete_tree(tmp_path)
    assert sum(found.deleted.values()) >= MB
    assert sum(found.memory.values()) == MB


def test_more_open_files_than_a_look_may_take_are_not_looked_at() -> None:
    with pytest.raises(TooMuchToLookAtError, match="more than 3 files open"):
        usage.open_files([os.getpid()], Effort(files=3))


def test_more_mappings_than_can_be_looked_at_in_time_are_not() -> None:
    with pytest.raises(TooMuchToLookAtError, match="that they cannot be looked at in time"):
        usage.memory([os.getpid()], NOWHERE, Effort(seconds=0))


def test_memory_in_common_is_counted_for_a_limited_time() -> None:
    with pytest.raises(TooMuchToLookAtError, match="in common"):
        usage.proportional_memory([os.getpid()], within_s=-1)


def test_a_deleted_file_that_is_mapped_and_closed_is_found(tmp_path: Path) -> None:
    with running(
        f"import os, sys; sys.path.insert(0, {str(TRIALS)!r}); import trials\n"
        f"held = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_RDWR); os.write(held, b'x' * {MB})\n"
        f"os.unlink({str(tmp_path / 'file')!r}); trials.map_one_page(held)"
    ) as process:
        found = usage.mapped_files([process])

    assert sum(found.deleted.values()) >= MB or found.unmeasured == {os.fsencode(tmp_path / "file")}


def test_deleted_files_are_found_by_who_holds_them_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(MB))
        file.flush()
        found = (tmp_path / "file").stat()
        inode = found.st_dev, found.st_ino
        assert inode not in usage.open_files([os.getpid()]).deleted
        (tmp_path / "file").unlink()

        assert usage.open_files([os.getpid()]).deleted[inode] >= MB


def test_the_threads_of_a_user_are_counted() -> None:
    assert usage.threads_of_user() >= 1
