"""In place of worker processes: the workers' own code in this process, over the same messages.

What a worker does it does at once, between two callbacks of a `VirtualLoop`. A run's worker blocks while
it waits for its service, so it has a thread, which runs only while the loop stands still for it.
Confinement, pipes and processes are not here: `tests/integration/sandbox` and `tests/faults` have them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Protocol

from tests.deterministic.virtual_loop import PROCESS, Process

from hanse.aggregator.run_worker import process as run_worker
from hanse.collaborator.task_worker.process import TaskHost
from hanse.collaborator.task_worker.protocol import Order, Setup
from hanse.sandbox.channel import Message, decode, encode, gone
from hanse.sandbox.confine import Confined
from hanse.sandbox.process import WorkerSpec

CONFINED = Confined((), files=False, network=False, processes=False, gaps=())


class Chance(Protocol):
    """What the world decides about workers."""

    random: Random

    def dies(self, process: Process, place: str) -> bool:
        """Whether a worker dies at a numbered point; it is ended then."""
        ...

    def task_lasts_s(self) -> float | None:
        """How long the next task takes, in seconds; None: it hangs."""
        ...


class Code(Protocol):
    """What a worker does with the messages that it gets."""

    def begin(self) -> Iterator[Message]:
        """Start; what it says of itself."""
        ...

    def told(self, message: Message) -> Iterator[Message]:
        """Take a message; what it says then."""
        ...

    def end(self) -> None:
        """The service hung up, or the worker was killed."""
        ...


class TaskCode(Code):
    """The task worker's: `TaskHost`, in the working directory of its own process."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._home = spec.workspace
        with contextlib.chdir(self._home):
            self._host = TaskHost(Setup.model_validate_json(spec.arguments[0]))

    def begin(self) -> Iterator[Message]:
        return iter(())

    def told(self, message: Message) -> Iterator[Message]:
        with contextlib.chdir(self._home):
            yield self._host.carry_out(Order.model_validate(message)).model_dump()

    def end(self) -> None:
        pass  # its learner ends with the process


class RunCode(Code):
    """The run worker's: its `main`, on a thread that takes turns with the loop."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._arguments = spec.arguments
        self._in: deque[Message] = deque()
        self._out: deque[Message] = deque()
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._ended = False
        self._thread = threading.Thread(target=self._live, daemon=True)

    def begin(self) -> Iterator[Message]:
        self._thread.start()
        self._back.acquire()
        yield from self._said()

    def told(self, message: Message) -> Iterator[Message]:
        self._in.append(message)
        yield from self._take_turn()

    def end(self) -> None:
        if not self._ended and self._thread.ident is not None:
            for _ in self._take_turn():  # without a message: the service has gone
                pass
            self._thread.join()

    def _take_turn(self) -> Iterator[Message]:
        if not self._ended:
            self._turn.release()
            self._back.acquire()
        yield from self._said()

    def _said(self) -> Iterator[Message]:
        while self._out:
            yield self._out.popleft()

    def _live(self) -> None:
        try:
            run_worker.main(self, CONFINED, self._arguments)  # type: ignore[arg-type]  # a channel to it
        finally:
            self._ended = True
            self._back.release()

    # The worker's end of the channel, called on its thread.

    def send(self, message: Message) -> None:
        self._out.append(decode(encode(message)[4:]))

    def receive(self) -> Message | None:
        self._back.release()
        self._turn.acquire()
        return self._in.popleft() if self._in else None


CODE: dict[str, Callable[[WorkerSpec], Code]] = {
    "hanse.collaborator.task_worker.process": TaskCode,
    "hanse.aggregator.run_worker.process": RunCode,
}


class InProcessWorker:
    """In place of a `WorkerProcess`; the one that starts it and it die together, or it alone."""

    _pids = itertools.count(1)

    def __init__(self, spec: WorkerSpec, chance: Chance) -> None:
        parent = PROCESS.get()
        assert parent is not None
        self.confined = CONFINED
        self.exceeded = None
        self.pid = next(self._pids)
        self.channel = self
        self.process = Process(f"{spec.module.split('.')[1]} worker of {parent.name}")
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._code = CODE[spec.module](spec)
        self._lasts = chance.task_lasts_s if isinstance(self._code, TaskCode) else self._moment_s
        self._heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._how = "ended"
        self.hangs = False
        parent.mourners.append(self.process.kill)
        self.process.mourners.append(self._bury)

    def begin(self) -> None:
        self._say(self._code.begin())

    # ------------------------------------------- the starter's end of the channel

    async def send(self, message: Message) -> None:
        if not self.process.alive:
            raise gone()
        lasts_s = self._lasts()
        if lasts_s is None:
            self.hangs = True
        else:
            self._loop.call_later(lasts_s, self._take, decode(encode(message)[4:]))

    async def receive(self) -> Message | None:
        return await self._heard.get() if self.process.alive or not self._heard.empty() else None

    def close(self) -> None:
        """The service hangs up, and the worker ends."""
        self.process.kill()

    # ------------------------------------------------------------------ its life

    async def wait(self) -> str:
        await self._ended.wait()
        return self._how

    async def stop(self, grace_s: float = 5.0) -> str:
        self.close()
        return await self.wait()

    def log_tail(self, lines: int = 20) -> str:
        return ""

    def _take(self, message: Message) -> None:
        if self.process.alive and not self._dies("before a message"):
            self._say(self._code.told(message))

    def _say(self, messages: Iterator[Message]) -> None:
        for message in messages:
            if self.process.alive and not self._dies("after a message"):
                self._heard.put_nowait(message)

    def _dies(self, place: str) -> bool:
        if not self._chance.dies(self.process, place):
            return False
        self._how = "was killed by SIGKILL"
        return True

    def _bury(self) -> None:
        self._code.end()
        self._heard.put_nowait(None)
        self._ended.set()

    def _moment_s(self) -> float:
        return self._chance.random.random() * 0.02


class WorkersInProcess:
    """Starts the workers of one world."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._by_pid: dict[int, InProcessWorker] = {}

    @property
    def started(self) -> list[InProcessWorker]:
        """All that were started until now."""
        return list(self._by_pid.values())

    async def start(self, spec: WorkerSpec) -> InProcessWorker:
        (spec.workspace / "tmp").mkdir(parents=True, exist_ok=True)
        worker = InProcessWorker(spec, self._chance)
        self._by_pid[worker.pid] = worker
        worker.begin()
        return worker

    def cpu_time_of(self, pid: int) -> object:
        """In place of the processor time that a worker has used: it has used more, unless it hangs."""
        return 0.0 if self._by_pid[pid].hangs else asyncio.get_running_loop().time()
