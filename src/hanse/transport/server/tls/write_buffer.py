"""Bytes that a protocol has written and the peer has not taken yet."""

from __future__ import annotations

import asyncio


class WriteBuffer:
    """Keeps bytes until they can be sent, and holds the protocol back where they are many.

    Attributes:
        high: Bytes above which the protocol is to wait.
        low: Bytes from which on it is to resume.
        empty: Set while nothing waits, and once nothing will be sent any more.
    """

    def __init__(self) -> None:
        self.high, self.low = 1 << 16, 1 << 14
        self.empty = asyncio.Event()
        self.empty.set()
        self._data = bytearray()
        self._protocol_waits = False

    def __len__(self) -> int:
        return len(self._data)

    def view(self) -> memoryview:
        """The bytes that wait; release the view before anything changes."""
        return memoryview(self._data)

    def add(self, data: memoryview, protocol: asyncio.BaseProtocol) -> None:
        """Keep bytes, and have their protocol pause if they are too many."""
        self._data += data
        self.empty.clear()
        if len(self._data) > self.high and not self._protocol_waits:
            self._protocol_waits = True
            protocol.pause_writing()

    def remove(self, count: int, protocol: asyncio.BaseProtocol) -> None:
        """Remove what was sent, and have the protocol resume if little is left."""
        del self._data[:count]
        if self._protocol_waits and len(self._data) <= self.low:
            self._protocol_waits = False
            protocol.resume_writing()
        if not self._data:
            self.empty.set()

    def forget_protocol(self) -> None:
        """Another protocol writes from now on, and has not been paused."""
        self._protocol_waits = False
