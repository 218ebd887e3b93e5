import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import ProtocolError, TransportError
from hanse.sandbox.channel import MAX_MESSAGE, Channel, decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A worker's channel, and the bare socket at the other end."""
    with ExitStack() as open_:
        ours, theirs = socket.socketpair()
        open_.enter_context(theirs)
        yield Channel(ours.detach()), theirs


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_a_message_arrives_as_it_was_sent(message: dict[str, Any]) -> None:
    assert decode(encode(message)[4:]) == message


def test_messages_arrive_one_by_one_and_then_the_end(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(encode({"task": 1}) + encode({"task": 2}))
    other.close()

    assert [channel.receive(), channel.receive(), channel.receive()] == [{"task": 1}, {"task": 2}, None]


def test_an_end_in_the_midst_of_a_message_is_the_end(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(encode({"task": 1})[:-1])
    other.close()

    assert channel.receive() is None


def test_an_end_with_messages_unread_is_the_end(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    channel.send({"never": "read"})
    other.close()

    assert channel.receive() is None


def test_sending_to_nobody_is_an_error(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.close()

    with pytest.raises(TransportError, match="has gone"):
        channel.send({})


def test_messages_of_several_threads_do_not_mix(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    senders = [
        threading.Thread(target=channel.send, args=({"from": name, "text": name * 300_000},))
        for name in "abcd"
    ]
    for sender in senders:
        sender.start()

    reader = Channel(os.dup(other.fileno()))
    received = [reader.receive() for _ in senders]
    for sender in senders:
        sender.join()

    assert all(message and set(message["text"]) == {message["from"]} for message in received)


def test_a_message_beyond_the_bound_is_not_sent(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends

    with pytest.raises(ProtocolError, match="more than"):
        channel.send({"text": "x" * MAX_MESSAGE})

    channel.send({})
    assert other.recv(100) == encode({})


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ((MAX_MESSAGE + 1).to_bytes(4, "big"), "claims 1048577 bytes"),
        (b"\0\0\0\x03abc", "not JSON"),
        (b"\0\0\0\x02\xff\xff", "not Unicode"),
        (b'\0\0\0\x0e{"a":"\\ud800"}', "not Unicode"),
        (b'\0\0\0\x0e{"\\ud800":"a"}', "not Unicode"),
        (b'\0\0\0\x0b{"a":"\xed\xa0\x80"}', "not Unicode"),
        (b"\0\0\0\x00", "not JSON"),
        (b"\0\0\0\x02[]", "a JSON list, not an object"),
        ((200_000).to_bytes(4, "big") + b"[" * 200_000, "not JSON"),
        ((10_000).to_bytes(4, "big") + b"1" * 10_000, "not JSON"),
    ],
    ids=[
        *("too large", "no JSON", "no UTF-8", "half a pair", "half a pair as a name", "half a pair as it is"),
        *("empty", "no object", "too deep", "too long a number"),
    ],
)
def test_what_is_no_message_is_refused(
    ends: tuple[Channel, socket.socket], frame: bytes, problem: str
) -> None:
    channel, other = ends
    other.sendall(frame)

    with pytest.raises(ProtocolError, match=problem):
        channel.receive()
