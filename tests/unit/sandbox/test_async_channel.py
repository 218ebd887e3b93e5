import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from hanse.errors import ProtocolError, TransportError
from hanse.sandbox.async_channel import AsyncChannel
from hanse.sandbox.channel import MAX_MESSAGE, Channel, Message, encode


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Run a scenario with a channel and the bare socket at the worker's end."""

    def run(scenario: Callable[..., object]) -> object:
        async def connected() -> object:
            ours, theirs = socket.socketpair()
            channel = await AsyncChannel.over(ours)
            with theirs:
                try:
                    return await scenario(channel, theirs)  # type: ignore[misc]
                finally:
                    channel.close()

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(connected())

    return run


def test_both_ends_understand_each_other(run: Callable[..., object]) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> Message | None:
        worker = Channel(other.fileno())
        await channel.send({"text": "x" * 1000})
        worker.send(worker.receive() or {})
        return await channel.receive()

    assert run(scenario) == {"text": "x" * 1000}


def test_messages_of_several_tasks_do_not_mix(run: Callable[..., object]) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> bool:
        worker = Channel(other.fileno())
        sending = asyncio.gather(*(channel.send({"text": name * 500_000}) for name in "abcd"))
        received = [await asyncio.to_thread(worker.receive) for _ in "abcd"]
        await sending
        return all(message and len(set(message["text"])) == 1 for message in received)

    assert run(scenario)


@pytest.mark.parametrize("sent", [b"", b"\0\0", encode({"task": 1})[:-1]])
def test_the_end_is_none_also_in_the_midst_of_a_message(run: Callable[..., object], sent: bytes) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> Message | None:
        other.sendall(sent)
        other.close()
        return await channel.receive()

    assert run(scenario) is None


def test_an_end_with_messages_unread_is_none(run: Callable[..., object]) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> Message | None:
        await channel.send({"never": "read"})
        other.close()
        return await channel.receive()

    assert run(scenario) is None


def test_sending_to_a_worker_that_has_gone_is_an_error(run: Callable[..., object]) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> None:
        other.close()
        for _ in range(3):  # the first may go out before the end is noticed
            await channel.send({"text": "x" * 500_000})

    with pytest.raises(TransportError, match="has gone"):
        run(scenario)


def test_sending_after_closing_is_an_error(run: Callable[..., object]) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> None:
        channel.close()
        await asyncio.sleep(0)
        await channel.send({})

    with pytest.raises(TransportError, match="has gone"):
        run(scenario)


@pytest.mark.parametrize("frame", [(MAX_MESSAGE + 1).to_bytes(4, "big"), b"\0\0\0\x02[]", b"\0\0\0\x01{"])
def test_what_is_no_message_is_refused(run: Callable[..., object], frame: bytes) -> None:
    async def scenario(channel: AsyncChannel, other: socket.socket) -> Message | None:
        other.sendall(frame)
        return await channel.receive()

    with pytest.raises(ProtocolError):
        run(scenario)
