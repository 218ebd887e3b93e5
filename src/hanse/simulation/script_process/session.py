"""The session of a script that runs in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanse.core.values.groups import flattened, nested
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import HanseError, TaskError, TransportError, rebuild
from hanse.learners.notices import notice
from hanse.learners.script import END_LIMIT_S
from hanse.local.applied import rules_of
from hanse.local.registry import written
from hanse.sandbox.channel import Channel
from hanse.sandbox.process import how_it_ended
from hanse.simulation.script_process.output import Output
from hanse.simulation.script_process.protocol import Order, Reply, Setup
from hanse.simulation.shares import Shares
from hanse.wire.tensors import open_file, write_file

_ENDING_S = 10.0
"""Seconds that a process may take to end after its script has."""


class ModelFile:
    """The parameters that sites are asked to start from, in a file that all of them read.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: Parameters | None = None

    def of(self, parameters: Parameters) -> Path:
        """The file with these parameters, which do not change."""
        if parameters is not self._written:
            write_file(self.path, parameters)
            self._written = parameters
        return self.path


class ProcessSession:
    """Runs a site's script in a process of its own; see `hanse.learners.base.Session`.

    The process starts at the first call. After a failure it is ended: run again, a script may have to do
    what a process can do only once.

    Args:
        script: The script.
        site: What `hanse.site()` gives it.
        folder: Folder of the site.
        arguments: Arguments of the script.
        model: Where models to start from are written.
        shares: How a data set is dealt out to sites that get a share.
        directory: Where the process runs; None: where the simulation runs.
    """

    def __init__(
        self,
        script: Path,
        site: Site,
        folder: Path,
        arguments: Sequence[str],
        *,
        model: ModelFile,
        shares: Shares,
        directory: Path | None = None,
    ) -> None:
        self._setup = Setup(
            **_facts(site),
            script=str(script.absolute()),
            arguments=list(arguments),
            kept=str((folder / "kept").absolute()),
            partition=None if site.partition is None else str(shares.partition),
            names=list(shares.names),
            deal_seed=shares.seed,
            add_data=site.data.mend,
            ours=[str(folder.absolute()), str(model.path.absolute())],
        )
        self._script = script
        self._shares = shares
        self._directory = directory
        self._update = folder / "update.safetensors"
        self._groups = folder / "groups.safetensors"
        self._groups_update = folder / "groups_update.safetensors"
        self._model = model
        self._process: _Process | None = None
        self._unread = False  # the reply to `prepare`
        self._imported: frozenset[str] = frozenset()
        self._opened: frozenset[str] = frozenset()
        self._dealt = False

    @property
    def imported(self) -> frozenset[str]:
        """Files of the user's own modules that the script has imported so far."""
        return self._imported

    @property
    def opened(self) -> frozenset[str]:
        """Files beside the script that it has read so far, other than the site's data."""
        return self._opened

    @property
    def dealt(self) -> bool:
        """True once the script has asked for its share of the data."""
        return self._dealt

    def prepare(self) -> None:
        """Start the script without waiting for it, so that the scripts of all sites start side by side.

        What comes of it is known when the script is next asked for something.
        """
        if self._process is None:
            self._process = _Process(self._setup, self._directory)
            self._process.send(Order(do="begin"))
            self._unread = True

    def evaluates(self) -> bool:
        """Start the script; whether it gives a function that evaluates the federation's model.

        Raises:
            TaskError: The script failed before its loop.
        """
        return self._ask(Order(do="begin")).evaluates

    def initial_parameters(self) -> Parameters:
        """See `Session`."""
        self._ask(Order(do="initial", update=str(self._update.absolute())))
        return {name: array.copy() for name, array in self._updated().items()}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        """See `Session`."""
        rules = rules_of(task)
        if task.groups:
            write_file(self._groups, flattened(task.groups))
        order = Order(
            do="perform",
            task=task.name,
            round_number=task.round_number,
            seed=task.seed,
            settings=dict(task.settings),
            model=str(self._model.of(parameters).absolute()),
            sequence=sequence,
            counted=counted,
            update=str(self._update.absolute()),
            local=[] if rules is None else [written(rule) for rule in rules.rules],
            personal=[] if rules is None else list(rules.personal),
            untrained=[] if rules is None else list(rules.untrained),
            groups=str(self._groups.absolute()) if task.groups else "",
            groups_update=str(self._groups_update.absolute()),
        )
        reply = self._ask(order)
        trained = self._updated() if reply.trained else None
        groups = nested(open_file(self._groups_update)) if reply.grouped else {}
        return TaskResult(reply.num_examples, dict(reply.metrics), trained, groups=groups)

    def close(self) -> None:
        """See `Session`: the script runs to its end, and its process ends."""
        if self._process is None or self._unread:  # it was asked nothing, so that it has no end to run
            self._end(0)
            return
        try:
            self._ask(Order(do="close"), limit_s=END_LIMIT_S + _ENDING_S)
        finally:
            self._end(_ENDING_S)

    def _updated(self) -> dict[str, Array]:
        return open_file(self._update)

    def _ask(self, order: Order, limit_s: float | None = None) -> Reply:
        if self._unread:
            self._unread = False
            self._reply(None, "its set-up", None)
        doing = order.task or {"close": "its end"}.get(order.do, "its set-up")
        return self._reply(order, doing, limit_s)

    def _reply(self, order: Order | None, doing: str, limit_s: float | None) -> Reply:
        """Give an order, if there is one to give, and wait for the reply."""
        try:
            self._process = self._process or _Process(self._setup, self._directory)
            if order is not None:
                self._process.send(order)
            reply = self._process.reply(limit_s)
        except TransportError:
            ended = self._end(_ENDING_S)
            raise TaskError(f"the process of {self._script.name} {ended} during {doing}") from None
        except BaseException:  # Ctrl-C, above all
            self._end(0)
            raise
        self._imported |= set(reply.imported)
        self._opened |= set(reply.opened)
        self._dealt = self._dealt or reply.dealt
        for text in reply.dealing:
            self._shares.announce(text)
        for text in reply.notices:
            notice(text)
        if reply.error:
            self._end(0)
            raise _error(reply)
        return reply

    def _end(self, grace_s: float) -> str:
        process, self._process, self._unread = self._process, None, False
        return "has ended" if process is None else process.end(grace_s)


class _Process:
    """A started process of a script."""

    def __init__(self, setup: Setup, directory: Path | None) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: Ctrl-C in a terminal is for the simulation, which ends the process.
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-P", "-m", f"{__package__}.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd=directory,
                env=_environment(os.environ),
            )
        self._channel = Channel(self._socket.fileno())
        self._output = Output(self._process)
        with contextlib.suppress(TransportError):  # it ended at once, as the first order will show
            self._channel.send(setup.model_dump())

    def send(self, order: Order) -> None:
        """Give an order; that the process has ended shows when its reply is waited for."""
        with contextlib.suppress(TransportError):
            self._channel.send(order.model_dump())

    def reply(self, limit_s: float | None) -> Reply:
        """Show what the script prints until the reply comes.

        Raises:
            TransportError: The process has ended, or took longer.
        """
        if not self._output.show_until(self._socket, limit_s):
            raise TransportError(f"no reply within {limit_s:g} s")
        message = self._channel.receive()
        self._output.show()
        if message is None:
            raise TransportError("the process has ended")
        return Reply.model_validate(message)

    def end(self, grace_s: float) -> str:
        """Hang up, and kill what has not ended after a while; says how it ended."""
        self._socket.close()
        if not self._output.show_to_the_end(grace_s):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # what the script has started and left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._output.close()
        return how_it_ended(code)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    # As at a site, where the order of a set's elements is the same in every process.
    return {"PYTHONHASHSEED": "0", **own}


def _error(reply: Reply) -> HanseError:
    error = rebuild(reply.error, reply.reason, reply.mend)
    if isinstance(error, TaskError):
        error.log_tail = reply.log_tail
    return error


def _facts(site: Site) -> dict[str, Any]:
    """Facts that a process gets about its site."""
    if site.state_dir is None:
        raise ValueError("a virtual site has a folder")
    return {
        "site": site.name,
        "data": {name: str(path.absolute()) for name, path in site.data.items()},
        "seed": site.seed,
        "options": dict(site.options),
        "data_root": None if site.data_root is None else str(site.data_root.absolute()),
        "index": site.index,
        "count": site.count,
        "state_dir": str(site.state_dir.absolute()),
        "labels": None if site.labels is None else list(site.labels),
        "features": None if site.features is None else list(site.features),
    }
