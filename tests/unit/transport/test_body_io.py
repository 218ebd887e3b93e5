import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hanse.errors import StorageError, TransportError
from hanse.transport.body_io import CACHED_PIECE, receive, send

DATA = random.Random(1).randbytes(5 * CACHED_PIECE + 4321)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: what is sent at the first end is received at the second."""
    here, there = socket.socketpair()
    there.settimeout(0.2)
    with here, there:
        yield here, there


def sent(end: socket.socket, data: bytes, *, seed: int = 0, hang_up: bool = False) -> threading.Thread:
    """Send on a thread, in chunks of any length."""

    def work() -> None:
        chance, rest = random.Random(seed), memoryview(data)
        while rest:
            length = chance.choice([1, 1000, 16_000, 300_000])
            end.sendall(rest[:length])
            rest = rest[length:]
        if hang_up:
            end.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("begun", [0, 1, CACHED_PIECE, 2 * CACHED_PIECE + 7, len(DATA)])
def test_a_body_is_written_whole_however_it_comes(
    ends: tuple[socket.socket, socket.socket], begun: int, seed: int
) -> None:
    written = bytearray()
    thread = sent(ends[0], DATA[begun:], seed=seed)

    receive(ends[1], len(DATA), DATA[:begun], written.extend)

    thread.join()
    assert written == DATA


def test_nothing_behind_the_body_is_taken(ends: tuple[socket.socket, socket.socket]) -> None:
    written = bytearray()
    thread = sent(ends[0], DATA + b"the next request")

    receive(ends[1], len(DATA), b"", written.extend)

    thread.join()
    assert written == DATA
    assert ends[1].recv(100) == b"the next request"


@pytest.mark.parametrize(
    ("hang_up", "kind", "words"),
    [
        (True, ConnectionResetError, "broke in the middle"),
        (False, TransportError, r"nothing came for 0\.2 s"),
    ],
)
def test_what_came_before_an_error_is_written(
    ends: tuple[socket.socket, socket.socket], hang_up: bool, kind: type[Exception], words: str
) -> None:
    written = bytearray()
    thread = sent(ends[0], DATA[:-5], hang_up=hang_up)

    with pytest.raises(kind, match=words):
        receive(ends[1], len(DATA), b"", written.extend)

    thread.join()
    assert written == DATA[:-5]


def test_a_disk_that_is_full_ends_it(ends: tuple[socket.socket, socket.socket]) -> None:
    def full(_: memoryview) -> None:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="full"):
        receive(ends[1], len(DATA), DATA[:1], full)


def keep(pieces: list[bytes]) -> Callable[[memoryview], bool]:
    def take(piece: memoryview) -> bool:
        pieces.append(bytes(piece))
        return True

    return take


@pytest.mark.parametrize(("start", "stop"), [(0, len(DATA)), (CACHED_PIECE + 3, len(DATA) - 1), (7, 7)])
@pytest.mark.parametrize("in_file", [True, False])
def test_what_is_sent_is_what_was_asked_for(tmp_path: Path, start: int, stop: int, in_file: bool) -> None:
    path, pieces = tmp_path / "update", list[bytes]()
    path.write_bytes(DATA)

    assert send(path if in_file else DATA, start, stop, keep(pieces))

    assert b"".join(pieces) == DATA[start:stop]
    assert all(len(piece) <= CACHED_PIECE for piece in pieces)


@pytest.mark.parametrize("in_file", [True, False])
def test_it_ends_where_nobody_takes_any_more(tmp_path: Path, in_file: bool) -> None:
    path, offered = tmp_path / "update", list[int]()
    path.write_bytes(DATA)

    def refuse(piece: memoryview) -> bool:
        offered.append(len(piece))
        return False

    assert not send(path if in_file else DATA, 0, len(DATA), refuse)
    assert offered == [CACHED_PIECE]


def test_a_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "update"
    path.write_bytes(DATA[:-1])

    with pytest.raises(StorageError, match="became shorter while it was sent"):
        send(path, 0, len(DATA), keep([]))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        send(tmp_path / "nowhere", 0, 1, keep([]))
