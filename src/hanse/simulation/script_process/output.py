"""Output of the process of a script, shown as if the simulation printed it."""

from __future__ import annotations

import codecs
import os
import selectors
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

_CHUNK = 1 << 16


class Output:
    """Standard output and standard error of a process, read while its reply is waited for.

    No thread reads them: between two orders the process waits too.

    Args:
        process: Has pipes for both.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._pipes: dict[IO[bytes], str] = {}
        for pipe, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            if pipe is None:
                raise ValueError("the process has no pipes for its output")
            self._pipes[pipe] = name
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {pipe: decoder("replace") for pipe in self._pipes}
        self._open = set(self._pipes)

    def show_until(self, ready: socket.socket, limit_s: float | None = None) -> bool:
        """Show output until a socket can be read, or ended; whether that was in time."""
        end = None if limit_s is None else time.monotonic() + limit_s
        while True:
            readable = self._wait({ready}, end)
            if ready in readable:
                return True
            if end is not None and time.monotonic() >= end:
                return False

    def show(self) -> None:
        """Show what there is."""
        while self._wait(set(), time.monotonic()):
            pass

    def show_to_the_end(self, limit_s: float) -> bool:
        """Show output until the process has ended, and so closed both; whether that was in time."""
        end = time.monotonic() + limit_s
        while self._open:
            self._wait(set(), end)
            if time.monotonic() >= end:
                return not self._open
        return True

    def close(self) -> None:
        """Show the rest, and close the pipes."""
        self.show()
        for pipe in self._pipes:
            pipe.close()

    def _wait(self, others: set[socket.socket], end: float | None) -> set[FileDescriptorLike]:
        """Wait until something can be read; shows output, and returns what was ready."""
        limit_s = None if end is None else max(0.0, end - time.monotonic())
        sources: list[FileDescriptorLike] = [*self._open, *others]
        if not sources:
            return set()
        with selectors.DefaultSelector() as selector:
            for source in sources:
                selector.register(source, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select(limit_s)}
        for pipe in [pipe for pipe in self._open if pipe in ready]:
            self._show(pipe)
        return ready

    def _show(self, pipe: IO[bytes]) -> None:
        data = os.read(pipe.fileno(), _CHUNK)
        if not data:
            self._open.discard(pipe)
        text = self._decoders[pipe].decode(data, final=not data)
        # By its name: a redirected `sys.stdout` gets what the script prints.
        stream = getattr(sys, self._pipes[pipe])
        stream.write(text)
        stream.flush()
