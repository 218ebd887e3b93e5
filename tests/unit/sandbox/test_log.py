import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hanse.errors import StorageError
from hanse.sandbox.log import KEPT_BYTES, DiscardedOutput, WorkerLog


def write(path: Path, *printed: bytes) -> WorkerLog:
    """Print through the log's pipe; returns the log after its end."""

    async def run() -> WorkerLog:
        log = WorkerLog(path)
        with await log.pipe() as output:
            for data in printed:
                await asyncio.to_thread(output.write, data)
        await log.closed.wait()
        return log

    return asyncio.run(run())


def test_what_is_printed_is_kept(tmp_path: Path) -> None:
    log = write(tmp_path / "logs" / "worker.log", b"one\ntwo\n", b"three\n")

    assert (tmp_path / "logs" / "worker.log").read_bytes() == b"one\ntwo\nthree\n"
    assert log.tail(2) == "two\nthree"


def test_a_later_worker_goes_on_in_the_same_file(tmp_path: Path) -> None:
    write(tmp_path / "log", b"one\n")

    log = write(tmp_path / "log", b"two\n")

    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert log.tail(9) == "two"


def test_the_files_stay_within_their_bound_and_hold_the_end(tmp_path: Path) -> None:
    lines = [f"{number:099}\n".encode() * 500 for number in range(60)]

    write(tmp_path / "log", *lines)

    kept = (tmp_path / "log.1").read_bytes() + (tmp_path / "log").read_bytes()
    assert KEPT_BYTES // 2 < len(kept) <= KEPT_BYTES
    assert b"".join(lines).endswith(kept)


def test_a_line_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    assert len(write(tmp_path / "log", b"x" * 300_000).tail(1)) == 1 << 16


def test_a_full_disk_loses_no_last_words(tmp_path: Path, largest_file: Callable[[int], object]) -> None:
    with largest_file(4):  # type: ignore[attr-defined]
        log = write(tmp_path / "log", b"out of disk\n")

    assert log.tail(1) == "out of disk"


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot be written"):
        WorkerLog(tmp_path / "file" / "log")


def test_output_that_is_discarded_is_counted_and_not_kept() -> None:
    async def printed() -> DiscardedOutput:
        output = DiscardedOutput()
        with await output.pipe() as pipe:
            pipe.write(b"weights" * 1000)
        await output.closed.wait()
        output.close()
        return output

    output = asyncio.run(printed())

    assert output.num_bytes == 7000
    assert output.tail(20) == ""
    assert not any(b"weights" in value for value in vars(output).values() if isinstance(value, bytes))
