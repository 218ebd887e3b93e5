import asyncio
import random
from collections.abc import Callable

import pytest
from tests.parties import Run

from hanse.errors import StorageError, TransportError
from hanse.transport import takeover
from hanse.transport.streams import PIECE
from hanse.transport.takeover import take_over

DATA = random.Random(1).randbytes(5 * PIECE + 4321)


class Behind(asyncio.Protocol):
    """The protocol that is stood in for."""

    def __init__(self) -> None:
        self.lost: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc


class Link(asyncio.Transport):
    """A connection over which bytes come in chunks, whenever its protocol lets them."""

    def __init__(self, *chunks: bytes, breaks: bool = False) -> None:
        super().__init__()
        self.behind = Behind()
        self._protocol: asyncio.BaseProtocol = self.behind
        self._chunks = list(chunks)
        self._breaks = breaks
        self._reading = False
        self.written = b""
        """What was written, also where it came to no good end."""

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        if not self._reading or not isinstance(self._protocol, asyncio.BufferedProtocol):
            return
        if not self._chunks:
            if self._breaks:
                self._protocol.connection_lost(ConnectionResetError("cut"))
            return
        room = self._protocol.get_buffer(-1)
        assert len(room), "asked for room where reading should be paused"
        came, rest = self._chunks[0][: len(room)], self._chunks[0][len(room) :]
        room[: len(came)] = came
        self._chunks[:1] = [rest] if rest else []
        self._protocol.buffer_updated(len(came))
        asyncio.get_running_loop().call_soon(self._deliver)


class Begun:
    """What the parser has already."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def read_nowait(self, n: int = -1) -> bytes:
        data, self._data = self._data, b""
        return data


def cut_up(data: bytes, seed: int) -> list[bytes]:
    """Chunks as a socket gives them: of any length."""
    chance, chunks = random.Random(seed), []
    while data:
        length = chance.choice([1, 1000, 16_000, 300_000])
        chunks.append(data[:length])
        data = data[length:]
    return chunks


def received(
    link: Link, begun: bytes, length: int, *, write: Callable[[memoryview], object] | None = None
) -> bytes:
    """What is written of a body of this length."""
    written = bytearray()
    try:
        asyncio.run(take_over(link, Begun(begun), length, write or written.extend, 0.2))
    finally:
        link.written = bytes(written)
    return link.written


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("begun", [0, 1, PIECE, 2 * PIECE + 7, len(DATA)])
def test_a_body_is_written_whole_however_it_comes(begun: int, seed: int) -> None:
    link = Link(*cut_up(DATA[begun:], seed))

    assert received(link, DATA[:begun], len(DATA)) == DATA


def test_nothing_behind_the_body_is_taken() -> None:
    link = Link(DATA + b"the next request")

    assert received(link, b"", len(DATA)) == DATA


def test_the_protocol_behind_is_put_back() -> None:
    link = Link(DATA)

    received(link, b"", len(DATA))

    assert link.get_protocol() is link.behind


def test_what_came_before_the_connection_broke_is_written() -> None:
    link = Link(*cut_up(DATA[:-5], 1), breaks=True)

    with pytest.raises(ConnectionResetError, match="broke in the middle"):
        received(link, b"", len(DATA))

    assert link.written == DATA[:-5]
    assert isinstance(link.behind.lost, ConnectionResetError)


def test_what_came_before_a_silence_is_written() -> None:
    link = Link(*cut_up(DATA[:-5], 2))

    with pytest.raises(TransportError, match=r"nothing came for 0\.2 s"):
        received(link, b"", len(DATA))

    assert link.written == DATA[:-5]


def test_a_disk_that_is_full_ends_it() -> None:
    def full(_: memoryview) -> None:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="full"):
        received(Link(DATA), b"", len(DATA), write=full)


def test_memory_is_bounded_however_many_there_are_and_all_of_it_is_given_back(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = takeover._Pool(3)
    monkeypatch.setattr(takeover, "_pool", pool)
    written = [bytearray() for _ in range(4)]

    async def scenario() -> None:
        await asyncio.gather(
            *(
                take_over(Link(*cut_up(DATA, n)), Begun(), len(DATA), content.extend, 5.0)
                for n, content in enumerate(written)
            )
        )

    run(scenario())

    assert all(content == DATA for content in written)
    assert [len(pool.take()) for _ in range(4)] == [PIECE] * 3 + [PIECE >> 4]
