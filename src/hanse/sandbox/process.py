"""Worker processes: started confined, watched, and ended with everything they started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from hanse.errors import PolicyError, StorageError, TaskError, TransportError
from hanse.sandbox.async_channel import AsyncChannel
from hanse.sandbox.cgroup import NoGroupError, WorkerGroup, groups_here
from hanse.sandbox.confine import Confined, Confinement
from hanse.sandbox.environment import worker_environment
from hanse.sandbox.guard import SIGNALLED
from hanse.sandbox.log import DiscardedOutput, WorkerLog, WorkerOutput
from hanse.sandbox.sealed.memory_folder import is_memory_folder
from hanse.sandbox.temporary import empty_temporary, make_temporary
from hanse.sandbox.watch import Exceeded, Watch, too_much_memory

logger = logging.getLogger(__name__)

_ENDING_S = 5.0
"""How long a worker's guard may take to end it before both are killed, and its log to be read to the end."""
_LEAST_FILE = 16 << 20
"""Bytes of a file that a worker may write however little of the disk is free."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Orders for a start.

    Attributes:
        module: Module of Hanse whose `main(channel, confined, arguments)` is the worker.
        workspace: Directory that the worker may write in, its home; created where it is missing.
        log: File for what the worker prints; not where the worker can write. None to discard that.
        confinement: What else it may do.
        arguments: Handed to `main`.
        environment: Variables besides the few that a worker inherits.
        start_timeout_s: How long starting and importing the module may take.
    """

    module: str
    workspace: Path
    log: Path | None
    confinement: Confinement = field(default_factory=Confinement)
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 120.0


class StartsWorkers(Protocol):
    """Starts workers: the class `WorkerProcess`, or what stands for it in a test."""

    async def start(self, spec: WorkerSpec) -> WorkerProcess:
        """See `WorkerProcess.start`."""
        ...


class WorkerProcess:
    """A worker. Whoever started it calls `stop` in the end, also after it has ended by itself.

    A worker does not outlive the process that started it, however that one ends. One that takes more
    than it may is ended. What it leaves in the temporary directory of its workspace is deleted.

    Attributes:
        channel: Messages to and from its `main`.
        confined: How far it is confined.
        exceeded: The limit that it was ended for; None where there is none.
        pid: Process id of the worker's guard, which leads its process group.
    """

    confined: Confined

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: AsyncChannel,
        output: WorkerOutput,
        spec: WorkerSpec,
        group: WorkerGroup | None = None,
    ) -> None:
        self._process = process
        self._output = output
        self._spec = spec
        self._group = group
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False
        self.exceeded: Exceeded | None = None
        self.channel = channel
        self.pid = process.pid

    @classmethod
    async def start(cls, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker; it is confined and has imported its module when this returns.

        Raises:
            PolicyError: It is to leave nothing on a disk, and that cannot be held here; says what is lacking.
            TaskError: It did not get that far; carries what it printed.
            StorageError: The workspace or the log cannot be written.
        """
        if not spec.module.startswith("hanse."):
            raise ValueError(f"the module of a worker is one of hanse's, not {spec.module!r}")
        written = (spec.workspace, *spec.confinement.write)
        if spec.log and any(spec.log.absolute().is_relative_to(area.absolute()) for area in written):
            # A symbolic link in its place would have us write into any file.
            raise ValueError(f"the log {spec.log} is where the worker can write")
        if spec.confinement.in_memory:
            _check_memory(spec)
        worker = await _spawn(_bounded(spec))
        try:
            async with asyncio.timeout(spec.start_timeout_s):
                worker.confined = await worker._give_orders()
            if spec.confinement.in_memory and (lacking := worker.confined.lacking()):
                raise PolicyError(
                    f"a worker of a sealed run has to be locked in by every layer, and here lacks: "
                    f"{'; '.join(lacking)}",
                    mend="`hanse doctor` says what this machine lacks.",
                )
            worker._begin_watch()
        except TimeoutError:
            await worker.stop(grace_s=0)
            raise TaskError(
                f"the worker {spec.module} was not ready after {spec.start_timeout_s:g} s",
                log_tail=worker.log_tail(),
            ) from None
        except BaseException:
            await worker.stop(grace_s=0)
            raise
        return worker

    async def wait(self) -> str:
        """Wait until the worker has ended; says how, as in `the worker was killed by SIGKILL`."""
        code = await self._process.wait()
        if code < 0:  # not the worker but its guard was killed, which would have left nothing behind
            self._signal_group(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_S):
                await self._output.closed.wait()
        limit = self._spec.confinement.memory_bytes
        if self._group is not None and limit is not None and self._group.ran_out_of_memory():
            self.exceeded = too_much_memory(limit)
        if self.exceeded is not None:
            return f"was ended because {self.exceeded.what}"
        return "was stopped" if self._stopped else how_it_ended(code)

    async def stop(self, grace_s: float = 5.0) -> str:
        """End the worker and everything it has started; says how it ended.

        It is asked by the end of its channel, and killed when it has not ended
        after `grace_s` seconds.
        """
        self.channel.close()
        if not await self._ends_within(grace_s):
            self._stopped = True
            await self._kill()
        if self._watching is not None:
            self._watching.cancel()
        ended = await self.wait()
        self._output.close()
        if self._group is not None:
            self._group.end()
        await asyncio.to_thread(empty_temporary, self._spec.workspace)
        return ended

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the worker printed."""
        return self._output.tail(lines)

    def _begin_watch(self) -> None:
        spec, held, counted = self._spec, self._group is not None, self.confined.counted
        watch = Watch(self.pid, spec.confinement, spec.workspace.absolute(), held=held, counted=counted)
        if watch.needed:
            self._watching = asyncio.create_task(self._end_when(watch))

    async def _end_when(self, watch: Watch) -> None:
        """End the worker when it takes more than it may."""
        self.exceeded = await watch.exceeded()
        logger.warning("a worker in %s is ended because %s", self._spec.workspace, self.exceeded.what)
        await self._kill()

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        if not await self._ends_within(_ENDING_S):
            self._signal_group(signal.SIGKILL)
            if self._group is not None:
                self._group.end()

    async def _give_orders(self) -> Confined:
        spec, no_group = self._spec, ""
        if self._group is None:
            groups = groups_here()
            no_group = str(groups) if isinstance(groups, NoGroupError) else "no cgroup could be made"
        orders = {
            "confinement": spec.confinement.as_json(),
            "workspace": str(spec.workspace.absolute()),
            "arguments": spec.arguments,
            "no_group": no_group,
        }
        with contextlib.suppress(TransportError):  # it ended at once, and its log tells why
            await self.channel.send(orders)
        answer = await self.channel.receive()
        if answer is None or "failed" in answer:
            ended = await self.wait()
            reason = answer["failed"] if answer else ended
            raise TaskError(f"the worker {spec.module} did not start: {reason}", log_tail=self.log_tail())
        return Confined.from_json(answer["confined"])

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def how_it_ended(code: int) -> str:
    """Put an exit status into words, that follow `the worker`."""
    number = -code if code < 0 else code - SIGNALLED
    if code == 0:
        return "ended"
    if number in set(signal.Signals):
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(number).name}{hint}"
    return f"exited with status {code}"


def _bounded(spec: WorkerSpec) -> WorkerSpec:
    """With no file larger than what the disk has room for."""
    confinement = spec.confinement
    if confinement.disk_reserve is None:
        return spec
    place = next(
        path for path in (spec.workspace.absolute(), *spec.workspace.absolute().parents) if path.exists()
    )
    room = max(_LEAST_FILE, shutil.disk_usage(place).free - confinement.disk_reserve)
    if confinement.file_bytes is not None:
        room = min(room, confinement.file_bytes)
    return replace(spec, confinement=replace(confinement, file_bytes=room))


def _check_memory(spec: WorkerSpec) -> None:
    """Refuse a worker that could leave something on a disk, before it is started.

    Raises:
        PolicyError: It has a network, or a place to write to that is not in memory.
    """
    if spec.log is not None:
        raise ValueError("what a worker of a sealed run prints is discarded")
    if spec.confinement.network:
        raise PolicyError(
            "a worker of a sealed run gets no network", mend="Set `worker: {network: false}` in the settings."
        )
    for area in (spec.workspace, *spec.confinement.write):
        place = next(path for path in (area.absolute(), *area.absolute().parents) if path.exists())
        if not is_memory_folder(place):
            raise PolicyError(
                f"a worker of a sealed run is to write in {area}, which is not in memory",
                mend="Set `sealed_memory` in the settings, and start the command again.",
            )


async def _spawn(spec: WorkerSpec) -> WorkerProcess:
    try:
        await asyncio.to_thread(make_temporary, spec.workspace)
    except OSError as error:
        raise StorageError(f"the workspace {spec.workspace} cannot be written: {error.strerror}") from error
    with contextlib.ExitStack() as undo:
        printed = DiscardedOutput() if spec.log is None else WorkerLog(spec.log)
        undo.callback(printed.close)
        ours, theirs = socket.socketpair()
        channel = await AsyncChannel.over(ours)
        undo.callback(channel.close)
        with theirs, await printed.pipe() as output:
            process = await _execute(spec, theirs.fileno(), output.fileno())
        undo.pop_all()
    return WorkerProcess(process, channel, printed, spec, _group_of(process.pid, spec.confinement))


def _group_of(pid: int, confinement: Confinement) -> WorkerGroup | None:
    """Put a worker that waits for its orders into a cgroup of its own; None where there can be none."""
    groups = groups_here()
    if isinstance(groups, NoGroupError):
        return None
    try:
        group = groups.make(confinement)
    except NoGroupError as error:
        logger.warning("a worker's limits are not held by the kernel: %s", error)
        return None
    try:
        group.add(pid)
    except OSError as error:
        group.end()
        logger.warning("a worker's limits are not held by the kernel: %s", error.strerror)
        return None
    return group


async def _execute(spec: WorkerSpec, channel: int, output: int) -> asyncio.subprocess.Process:
    # -P, and the working directory: the worker is not confined yet, and must not
    # import what an earlier one has left in its workspace.
    own = ("-s",) if sys.flags.no_user_site else ()  # where ours count no packages of the user's home
    command = (sys.executable, "-P", *own, "-m", "hanse.sandbox.child", str(channel), spec.module)
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(channel,),
            env=worker_environment(os.environ, spec.workspace.absolute(), spec.environment),
            cwd="/",
            # Ctrl-C in a terminal is for us, who then stop the worker.
            start_new_session=True,
        )
    except OSError as error:
        raise TaskError(f"no worker process can be started: {error.strerror}") from error
