"""A script in a thread of its own or in the main thread, in turns with the session that drives it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from types import ModuleType
from typing import NamedTuple

from hanse.core.values.parameters import Parameters
from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import HanseError, TaskError
from hanse.learners.bundle import own_modules, user_files
from hanse.learners.failures import failure
from hanse.learners.main_thread import MainThread
from hanse.learners.seeding import seed_generators


class Ready(NamedTuple):
    """The script has come to its loop; its model, and copies of what it keeps."""

    parameters: Parameters
    kept: Mapping[str, Parameters]
    evaluates: bool = False


class Begin(NamedTuple):
    """The session asks for a round from these parameters, after putting back what was kept, if given."""

    task: Task
    parameters: Parameters
    kept: Mapping[str, Parameters] | None


class Done(NamedTuple):
    """The script has done a round; what it keeps, and what the site's log is to say of it."""

    result: TaskResult
    kept: Mapping[str, Parameters]
    notices: Sequence[str] = ()


class Ended(NamedTuple):
    """The script has come to its end, or failed."""

    error: HanseError | None


Message = Ready | Done | Ended

CURRENT: ContextVar[RunningScript | None] = ContextVar("CURRENT", default=None)
"""The script that the present thread runs; None in a script that runs alone."""

_ONE_AT_A_TIME = Lock()


class RunningScript:
    """One run of a script, from its first line to its last.

    Script and session take turns: while one runs, the other waits. So virtual sites in one process never
    run at the same time, and what Python has only once a process (`sys.argv`, `sys.path`, `__main__`, the
    script's own modules) is each script's own while it runs.

    Args:
        script: The script.
        site: What `hanse.site()` gives it.
        argv: Its arguments.
        main_thread: The main thread of a process that has this script alone; None runs it in a thread of
            its own, beside those of other sites.
    """

    def __init__(
        self, script: Path, site: Site, argv: Sequence[str], main_thread: MainThread | None = None
    ) -> None:
        self.site = site
        self.doing = "set-up"
        self._script = script.resolve()
        self._main = ModuleType("__main__")
        self._main.__file__ = str(self._script)
        self._argv = [str(script), *argv]
        self._path = [str(self._script.parent), *sys.path]
        self._modules: dict[str, ModuleType] = {}
        self._imported: frozenset[str] = frozenset()
        self._to_script: SimpleQueue[Begin | None] = SimpleQueue()
        self._to_session: SimpleQueue[Message] = SimpleQueue()
        self._main_thread = main_thread
        # A daemon: a script that hangs does not keep the process from ending.
        self._thread = Thread(target=self._run, name=f"{script.name} at {site.name}", daemon=True)
        self._has_loop = False

    @property
    def imported(self) -> frozenset[str]:
        """Files of the user's modules that it has imported; of a process that it shares, those beside it."""
        return self._imported

    def start(self) -> Message:
        """Run the script up to its loop; called by the session."""
        importlib.invalidate_caches()  # its files may be new since the import system last looked
        with self._on_stage():
            if self._main_thread is None:
                self._thread.start()
            else:
                self._main_thread.start(self._run)
            return self._answer()

    def resume(self, begin: Begin | None, limit_s: float | None = None) -> Message:
        """Let the script run on until it has something to say; called by the session.

        Args:
            begin: The round to do; None: the run is over.
            limit_s: Longest wait, in seconds.

        Raises:
            queue.Empty: The script took longer.
        """
        with self._on_stage():
            self._to_script.put(begin)
            return self._answer(limit_s)

    def _answer(self, limit_s: float | None = None) -> Message:
        message = self._to_session.get(timeout=limit_s)
        if isinstance(message, Ended) and self._main_thread is None:
            self._thread.join()
        return message

    def claim_loop(self) -> None:
        """Begin the loop; called by the script.

        Raises:
            TaskError: It has had one.
        """
        if self._has_loop:
            raise TaskError("hanse.rounds() was called twice", mend="A script has one loop over it.")
        self._has_loop = True

    def hand_over(self, message: Message) -> Begin | None:
        """Tell the session and wait for what it asks next; called by the script.

        Returns:
            The round to do; None: the run is over.
        """
        self._to_session.put(message)
        begin = self._to_script.get()
        self.doing = "the end" if begin is None else doing(begin.task)
        return begin

    def _run(self) -> None:
        CURRENT.set(self)
        error: HanseError | None = None
        try:
            seed_generators(self.site.seed)
            code = compile(self._script.read_bytes(), self._script, "exec")
            exec(code, self._main.__dict__)  # noqa: S102 - the user's script: what a script session is for
        except BaseException as raised:  # noqa: BLE001 - the outermost edge; the session raises it
            if not isinstance(raised, SystemExit) or raised.code not in (None, 0):
                error = failure(f"{self.doing} of {self._script.name}", raised)
        self._to_session.put(Ended(error))

    @contextmanager
    def _on_stage(self) -> Iterator[None]:
        if self._main_thread is not None:
            # Never restored: between its turns, threads of the script still run.
            sys.argv, sys.path, sys.modules["__main__"] = self._argv, self._path, self._main
            try:
                yield
            finally:
                self._imported |= user_files()
            return
        with _ONE_AT_A_TIME:
            before = set(sys.modules)
            argv, path, main = sys.argv, sys.path, sys.modules["__main__"]
            sys.argv, sys.path, sys.modules["__main__"] = self._argv, self._path, self._main
            sys.modules.update(self._modules)
            try:
                yield
            finally:
                own = own_modules(self._script.parent)
                self._modules = {name: module for name, module in own.items() if name not in before}
                self._imported |= {str(module.__file__ or "") for module in self._modules.values()}
                for name in self._modules:
                    del sys.modules[name]
                sys.argv, sys.path, sys.modules["__main__"] = argv, path, main


def doing(task: Task) -> str:
    """The part of a script that performs a task, for messages."""
    return f"{'' if task.name == 'train' else 'the evaluation of '}round {task.round_number}"
