"""Bytes that wait to be sent, and the protocol that they hold back."""

from __future__ import annotations

import asyncio

from hanse.transport.server.tls.write_buffer import WriteBuffer


class Protocol(asyncio.BaseProtocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


def filled(protocol: Protocol, size: int) -> WriteBuffer:
    buffer = WriteBuffer()
    buffer.high, buffer.low = 10, 4
    buffer.add(memoryview(bytes(size)), protocol)
    return buffer


def test_bytes_leave_in_the_order_in_which_they_came() -> None:
    buffer, protocol = WriteBuffer(), Protocol()
    buffer.add(memoryview(b"first "), protocol)
    buffer.add(memoryview(b"second"), protocol)

    buffer.remove(2, protocol)

    with buffer.view() as view:
        assert bytes(view) == b"rst second"
    assert len(buffer) == 10


def test_a_protocol_pauses_once_above_the_upper_limit() -> None:
    protocol = Protocol()
    buffer = filled(protocol, 10)
    assert protocol.told == []

    buffer.add(memoryview(b"x"), protocol)
    buffer.add(memoryview(b"x"), protocol)

    assert protocol.told == ["pause"]


def test_a_protocol_resumes_at_the_lower_limit() -> None:
    protocol = Protocol()
    buffer = filled(protocol, 12)

    buffer.remove(7, protocol)
    assert protocol.told == ["pause"]
    buffer.remove(1, protocol)

    assert protocol.told == ["pause", "resume"]


def test_a_protocol_that_was_not_told_to_pause_is_not_told_to_resume() -> None:
    protocol, later = Protocol(), Protocol()
    buffer = filled(protocol, 12)

    buffer.forget_protocol()
    buffer.remove(12, later)

    assert later.told == []


def test_it_is_empty_once_all_is_sent() -> None:
    protocol = Protocol()
    buffer = filled(protocol, 3)
    assert not buffer.empty.is_set()

    buffer.remove(3, protocol)

    assert buffer.empty.is_set()
