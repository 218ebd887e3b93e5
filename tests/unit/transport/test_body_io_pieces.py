import asyncio
import threading
from pathlib import Path

import pytest
from tests.parties import Run

from hanse.concurrency import in_thread
from hanse.errors import ProtocolError, StorageError, TransportError
from hanse.transport.body_io import PIECE, pieces, pour, read_message
from hanse.wire.messages.basics import MAX_MESSAGE


class Coming:
    """A body that comes in chunks, and then ends, breaks or stalls."""

    def __init__(self, *chunks: bytes, then: BaseException | float | None = None) -> None:
        self.chunks = list(chunks)
        self.then = then

    async def readany(self) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        if isinstance(self.then, BaseException):
            raise self.then
        await asyncio.sleep(self.then or 0)
        return b""


async def collected(source: Path | bytes, start: int, stop: int) -> list[bytes]:
    return [piece async for piece in pieces(source, start, stop)]


@pytest.mark.parametrize("kind", ["file", "bytes"])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (5, PIECE + 5), (0, 2 * PIECE + 10)])
def test_pieces_make_up_the_part_that_was_asked_for(
    run: Run, tmp_path: Path, kind: str, start: int, stop: int
) -> None:
    data = bytes(range(256)) * (2 * PIECE // 256) + b"0123456789"
    source = tmp_path / "file" if kind == "file" else data
    (tmp_path / "file").write_bytes(data)

    found = run(collected(source, start, stop))

    assert b"".join(found) == data[start:stop]
    assert all(len(piece) <= PIECE for piece in found)


def test_a_file_that_becomes_shorter_is_no_whole_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")

    with pytest.raises(StorageError, match="became shorter"):
        run(collected(tmp_path / "file", 0, 6))


def test_a_body_is_poured_in_large_pieces(run: Run) -> None:
    written: list[bytes] = []

    run(pour(Coming(*[b"x" * 1000] * 3000), lambda data: written.append(bytes(data)), 1))

    assert sum(map(len, written)) == 3_000_000
    assert len(written) == 3


@pytest.mark.parametrize(
    ("then", "kind"), [(ConnectionResetError(), ConnectionResetError), (60.0, TransportError)]
)
def test_what_came_before_a_body_broke_or_stalled_is_written(
    run: Run, then: BaseException | float, kind: type[Exception]
) -> None:
    written = bytearray()

    with pytest.raises(kind):
        run(pour(Coming(b"what ", b"came", then=then), written.extend, 0.02))

    assert written == b"what came"


def test_what_came_before_the_reader_was_cancelled_is_written(run: Run) -> None:
    written = bytearray()

    async def scenario() -> None:
        pouring = asyncio.create_task(pour(Coming(b"what came", then=60.0), written.extend, 60))
        await asyncio.sleep(0.01)
        pouring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pouring

    run(scenario())
    assert written == b"what came"


def test_bytes_that_could_not_be_written_are_not_written_again(run: Run) -> None:
    tries: list[int] = []

    def full(data: bytearray) -> None:
        tries.append(len(data))
        raise StorageError("no space left")

    with pytest.raises(StorageError):
        run(pour(Coming(b"x" * PIECE, b"y"), full, 1))

    assert tries == [PIECE]


def test_a_message_may_be_as_long_as_a_message_may_be(run: Run) -> None:
    assert len(run(read_message(Coming(b" " * MAX_MESSAGE), 1))) == MAX_MESSAGE
    with pytest.raises(ProtocolError, match="too long"):
        run(read_message(Coming(b" " * MAX_MESSAGE, b" "), 1))


def test_whoever_cancels_work_on_a_thread_learns_of_its_end(run: Run) -> None:
    begun, finish, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        finish.wait(5)
        ended.set()

    async def scenario() -> None:
        working = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, 5)
        working.cancel()
        asyncio.get_running_loop().call_later(0.02, finish.set)
        with pytest.raises(asyncio.CancelledError):
            await working

    run(scenario())
    assert ended.is_set()


def test_what_was_opened_for_nobody_is_closed(run: Run) -> None:
    begun, finish, undone = threading.Event(), threading.Event(), list[str]()

    def work() -> str:
        begun.set()
        finish.wait(5)
        return "a file"

    async def scenario() -> None:
        working = asyncio.create_task(in_thread(work, undo=undone.append))
        await asyncio.to_thread(begun.wait, 5)
        working.cancel()
        finish.set()
        with pytest.raises(asyncio.CancelledError):
            await working

    run(scenario())
    assert undone == ["a file"]
