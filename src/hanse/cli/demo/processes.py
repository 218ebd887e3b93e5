"""Commands of Hanse as processes of their own: started, watched, and ended with this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from hanse.errors import RunError
from hanse.files.errors import file_errors

T = TypeVar("T")

_GRACE_S = 5.0
"""How long a child may take to end when it is asked to."""
_TAIL_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Child:
    """A process.

    Attributes:
        name: Whose it is, for people.
        process: The process; leads a process group of its own.
        log: What it writes to its standard error.
    """

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def first_line(self, timeout_s: float) -> str:
        """Wait for the line by which the command says that it is ready.

        Raises:
            RunError: It ended before, or takes longer.
        """
        if self.process.stdout is None:
            raise ValueError(f"{self.name} was started without a pipe")
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), timeout_s)
        except TimeoutError:
            raise RunError(
                f"the process of {self.name} was not ready after {timeout_s:g} s{self._tail()}"
            ) from None
        if not line:
            raise await self.death()
        return line.decode(errors="replace").strip()

    async def death(self) -> RunError:
        """Wait for its end, which nobody asked for, and tell it as an error."""
        code = await self.process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return RunError(f"the process of {self.name} {how}{self._tail()}")

    def _tail(self) -> str:
        data = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        return f"; the end of {self.log}:\n{data}" if data else f"; {self.log} is empty"


class Children:
    """Processes that are all ended when the block ends, whatever ends it."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        ends = [asyncio.ensure_future(child.process.wait()) for child in self._children]
        try:
            if ends:
                await asyncio.wait(ends, timeout=_GRACE_S)
        finally:
            for child in self._children:
                # The whole group: nothing that a child has started may stay either.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
        await asyncio.gather(*ends)

    async def start(self, name: str, arguments: Sequence[str], log: Path) -> Child:
        """Start a command of Hanse.

        Args:
            name: Whose it is, for people.
            arguments: The command line after `hanse`.
            log: File for its standard error.
        """
        with file_errors(f"write {log}"):
            log.parent.mkdir(parents=True, exist_ok=True)
            errors = log.open("wb")
        with errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hanse.cli.demo.child",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for this process, which then ends its children
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    async def while_all_live(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something for which all the processes are needed.

        Raises:
            RunError: One of them ended meanwhile; says which, with the end of its log.
        """
        doing = asyncio.ensure_future(work)
        ends = {asyncio.ensure_future(child.process.wait()): child for child in self._children}
        try:
            await asyncio.wait({doing, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            dead = next(child for end, child in ends.items() if end.done())
            raise await dead.death()
        finally:
            for task in (doing, *ends):
                task.cancel()
            await asyncio.gather(doing, *ends, return_exceptions=True)
