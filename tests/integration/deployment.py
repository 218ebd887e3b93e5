"""A real federation to test with: every party a process of its own, driven by commands."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import yaml
from tests.commands import Ended
from tests.processes import PATIENCE_S, Process, below, until

from hanse.assembly.operator import control_client
from hanse.cli.main import run
from hanse.config.settings import load_aggregator
from hanse.control.client import ControlClient
from hanse.core.run.events import Event, read_event
from hanse.core.run.run import TERMINAL
from hanse.wire.messages.runs import RunStatus
from hanse.wire.tensors import decode

T = TypeVar("T")
E = TypeVar("E", bound=Event)

CODE = Path(__file__).parent / "code"
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
PLAN: dict[str, Any] = {
    "name": "trial",
    "code": ["momentum.py"],
    "learner": "momentum:learner",
    "rounds": 2,
    "data": ["numbers"],
    "cohort": {"deadline": "5m"},
    "aggregation": {"server_optimizer": {"name": "adam", "lr": 0.1}},
    "tasks": {"train": {"lr": 0.1, "discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}},
}
"""What most plans here are; its exchanges are 1 to initialise, and 2R and 2R + 1 to train and evaluate."""

_UNSET = ("HANSE_SITE", "HANSE_FEDERATION", "HANSE_TRACEBACK", "HTTPS_PROXY", "https_proxy")


def hanse(*arguments: object) -> Ended:
    """Carry out a command, in this process."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = run([str(argument) for argument in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> str:
    """What a command printed that has to succeed."""
    ended = hanse(*arguments)
    assert ended.code == 0, ended.err
    return ended.out


def free_port() -> int:
    """A port below those that the kernel gives to others, so that it is still free after a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Started(Protocol):
    """A process, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


Start = Callable[[Path, list[str]], Started]
"""Starts a command of Hanse, given its arguments, with a file for what it prints."""


def execute(log: Path, arguments: list[str]) -> Started:
    """Start a command as people do."""
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-m", "hanse", *arguments], stdout=output, stderr=output)


class Running:
    """A command in a process of its own.

    Attributes:
        log: What it prints, on either stream.
    """

    def __init__(self, log: Path, *arguments: object, start: Start = execute) -> None:
        self.log = log
        self._seen: set[Process] = set()
        self._process = start(log, [str(argument) for argument in arguments])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def says(self, text: str) -> str:
        """Wait until it has printed a text; the line of it."""

        def look() -> str | None:
            found = [line for line in self.log.read_text().splitlines() if text in line]
            assert found or self.runs, f"it ended before {text!r}:\n{self.log.read_text()}"
            return found[0] if found else None

        return until(look, f"{text!r} in {self.log}")

    def workers(self) -> list[Process]:
        """Everything that it has started and that runs; the plan's code comes last."""
        found = below(self.pid)
        self._seen.update(found)
        return found

    def worker(self) -> Process:
        """The process that the plan's code runs in, below those that guard it."""
        return until(self.workers, f"a worker of {self.log}")[-1]

    def send(self, number: signal.Signals) -> None:
        """Signal it; what it has started until then, is to end with it."""
        if self.runs:
            self.workers()
            self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal it, and wait for its end; what it ends with, as `Popen.returncode`."""
        self.send(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; what it ends with."""
        return self._process.wait(PATIENCE_S)

    def close(self) -> list[Process]:
        """Wait for its end, now that it was told to end; what it has left behind.

        It was told once: told again, it would drop what it is about, and its workers would end after it.
        """
        try:
            self.ended()
        except subprocess.TimeoutExpired:
            self.end(signal.SIGKILL)
        return [process for process in self._seen if process.runs]

    def tell_to_end(self) -> None:
        """Tell it to end, however it stands."""
        if self.runs:
            for process in self.workers():
                process.send(signal.SIGCONT)
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)

    def must_be_gone(self) -> None:
        """Wait until neither it runs nor what it has started; what was stopped ends when it goes on."""
        self.ended()
        until(
            lambda: (
                not any(process.runs for process in self._seen)
                or any(process.stopped for process in self._seen)
            ),
            f"the end of {self._seen}",
        )


@dataclass
class Site:
    """A site's folder, and its agent while that runs.

    Attributes:
        directory: Of the site.
        data: Of its data source `numbers`.
    """

    name: str
    directory: Path
    data: Path
    agent: Running | None = None

    def hold(self, task: str, round_number: int) -> None:
        """Have tasks of this kind wait once they have begun."""
        (self.data / f"hold-{task}-{round_number}").touch()

    def fail(self, task: str) -> None:
        """Have tasks of this kind fail, until `recover`."""
        (self.data / f"fail-{task}").touch()

    def recover(self) -> None:
        """Let all tasks succeed again."""
        for failure in self.data.glob("fail-*"):
            failure.unlink()

    def release(self) -> None:
        """Let all tasks go on that wait here."""
        for hold in self.data.glob("hold-*"):
            hold.unlink()

    def held(self, run_id: str, task: str, round_number: int) -> None:
        """Wait until a task waits here."""
        at = self._own(run_id) / f"at-{task}-{round_number}"
        until(at.exists, at.name)

    def performed(self, run_id: str) -> list[str]:
        """The tasks that began here, in order, as `train-2`."""
        return (self._own(run_id) / "performed").read_text().split()

    def settings(self, **changes: object) -> None:
        """Change site.yaml."""
        change_settings(self.directory / "site.yaml", changes)

    def _own(self, run_id: str) -> Path:
        return self.directory / "runs" / run_id / "work" / "site"


class Run:
    """A run as its operator sees it."""

    def __init__(self, deployment: Deployment, run_id: str) -> None:
        self.run_id = run_id
        self._deployment = deployment
        self._events: list[Event] = []

    @property
    def status(self) -> RunStatus:
        return RunStatus.model_validate_json(self._command("status", "--json"))

    @property
    def events(self) -> list[Event]:
        """What has happened until now."""
        self._follow(lambda _: True)
        return list(self._events)

    def until(self, kind: type[E], **facts: object) -> E:
        """Wait for an event, before which the run may not end."""

        def find() -> E | None:
            matching = (event for event in self._events if isinstance(event, kind) and _has(event, facts))
            return next(matching, None)

        self._follow(lambda _: find())
        found = find()
        assert found is not None, f"no {kind.__name__} {facts} in {self}"
        return found

    def finished(self) -> str:
        """Wait for the run's end, which has to be a good one; the digest of its model."""
        status = self.over()
        assert status.phase == "finished", f"{status.phase}: {status.reason}"
        assert status.model is not None
        return status.model.digest

    def over(self) -> RunStatus:
        """Wait for the run's end, whatever it is."""
        return self._follow(lambda status: status.phase in TERMINAL)

    def stop(self) -> None:
        self._command("stop")

    def resume(self) -> None:
        self._command("resume")

    def export(self, folder: Path) -> Path:
        """Bring home what came of it, and have its journal verified."""
        authority = self._deployment.directory / "ca" / "ca.crt"
        self._command("export", "-o", folder)
        done("audit", "verify", folder / "journal.jsonl", "--ca", authority)
        return folder

    def model(self, folder: Path) -> dict[str, Any]:
        """The arrays of its last model."""
        return decode((self.export(folder) / "model.safetensors").read_bytes())

    def _command(self, command: str, *options: object) -> str:
        return done("run", command, self.run_id, "-d", self._deployment.directory, *options)

    def _follow(self, enough: Callable[[RunStatus], object]) -> RunStatus:
        """Take in what happens until it is enough, or the run is over; the run as it then stands."""

        async def follow(client: ControlClient) -> RunStatus:
            async with asyncio.timeout(PATIENCE_S):
                async for reply in client.follow(self.run_id, len(self._events)):
                    self._events += [read_event(record.kind, record.body) for record in reply.records]
                    if enough(reply.status):
                        break
            return reply.status

        try:
            return self._deployment.ask(follow)
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE_S:g} s in vain, with {self}") from None

    def __repr__(self) -> str:
        return f"{self.run_id}: " + "; ".join(map(_line, self._events))


class Deployment:
    """A federation on this machine.

    Args:
        root: Holds everything.
        start: Starts its commands.
        directory: Of a federation that exists; None to create one.

    Attributes:
        root: Holds everything.
        directory: Of the federation.
        sites: Those that have joined, by name.
    """

    def __init__(self, root: Path, start: Start = execute, directory: Path | None = None) -> None:
        self.root = root
        self.directory = directory or root / "federation"
        self._start = start
        root.mkdir(exist_ok=True)
        self.sites: dict[str, Site] = {}
        self._numbers = itertools.count()
        self._started: list[Running] = []
        self._aggregator: Running | None = None
        if directory is None:
            done("federation", "create", self.directory, "--name", "north", "--port", free_port())
            change_settings(self.directory / "aggregator.yaml", {"disk_reserve": 0})

    @property
    def aggregator(self) -> Running:
        assert self._aggregator is not None
        return self._aggregator

    @property
    def url(self) -> str:
        return load_aggregator(self.directory).url

    def agent(self, name: str) -> Running:
        """The agent of a site that was started last."""
        found = self.sites[name].agent
        assert found is not None
        return found

    def release(self) -> None:
        """Let all tasks go on that wait."""
        for site in self.sites.values():
            site.release()

    def start(self, *names: str) -> None:
        """Start the aggregator, and the agents of these sites."""
        self.start_aggregator()
        for name in names:
            self.join(name)
            self.start_agent(name)

    def start_aggregator(self, start: Start | None = None) -> Running:
        """Start the aggregator; it serves when this returns."""
        self.restart_aggregator(start).says(" is ready at ")
        return self.aggregator

    def restart_aggregator(self, start: Start | None = None) -> Running:
        """Start the aggregator; it takes a while until it serves."""
        self._aggregator = self.command("aggregator", "start", self.directory, start=start)
        return self._aggregator

    def start_agent(self, name: str, start: Start | None = None) -> Running:
        """Start the agent of a site; it takes a while to connect."""
        site = self.sites[name]
        site.agent = self.command("collaborator", "start", "--site", site.directory, start=start)
        return site.agent

    def join(self, name: str) -> Site:
        """Enrol a site through a token, with a policy that accepts plans whose names begin with `trial`."""
        place = self.root / f"{next(self._numbers)}-{name}"  # it may have joined before
        site = Site(name, place / "site", place / "data")
        site.data.mkdir(parents=True)
        (site.data / "target.txt").write_text(f"{len(self.sites) + 1} 2 3 4")
        done("join", self.invitation(name), "--site", site.directory, "--data", f"numbers={site.data}")
        # Most federations here are of two sites.
        discloses = {"update": "individual", "at_least": 1, "failures": "message"}
        site.settings(policy={"accept": ["trial*"], "discloses": discloses}, disk_reserve=0)
        self.sites[name] = site
        return site

    def invitation(self, name: str) -> str:
        """A one-time token."""
        return done("federation", "invite", name, "-d", self.directory).strip()

    def command(self, *arguments: object, start: Start | None = None) -> Running:
        """Start a command, in a way of its own if need be; it is ended with the federation."""
        log = self.root / f"{next(self._numbers)}-{arguments[0]}.log"
        started = Running(log, *arguments, start=start or self._start)
        self._started.append(started)
        return started

    def plan(self, **changes: Any) -> Path:
        """Write a plan: the usual one, with changes."""
        folder = self.root / "plan"
        shutil.copytree(CODE, folder, dirs_exist_ok=True)
        (folder / "plan.yaml").write_text(json.dumps(PLAN | changes))
        return folder / "plan.yaml"

    def submit(self, **changes: Any) -> Run:
        """Begin a run of a plan: the usual one, with changes."""
        return self.submit_file(self.plan(**changes))

    def submit_file(self, plan: Path) -> Run:
        """Begin a run of a plan from its file."""
        return Run(self, done("run", "submit", plan, "-d", self.directory).strip())

    def run(self, run_id: str) -> Run:
        """A run that was submitted before."""
        return Run(self, run_id)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return [Run(self, run.run_id) for run in self.ask(lambda client: client.runs()).runs]

    def ask(self, call: Callable[[ControlClient], Awaitable[T]]) -> T:
        """Ask the aggregator in the operator's name."""

        async def ask() -> T:
            async with control_client(self.directory) as client:
                return await call(client)

        return asyncio.run(ask())

    def close(self) -> None:
        """End everything that was started; nothing of it may stay."""
        # All are told first: an agent whose aggregator is gone ends as soon as any.
        for running in self._started:
            running.tell_to_end()
        left = [process for running in self._started for process in running.close()]
        for process in left:
            process.send(signal.SIGKILL)
        assert not left, left


@contextmanager
def deployed(root: Path, *names: str, start: Start = execute) -> Iterator[Deployment]:
    """A federation with an aggregator and agents of these sites, started; ended with the block."""
    with pytest.MonkeyPatch.context() as environment:
        for name in _UNSET:
            environment.delenv(name, raising=False)
        deployment = Deployment(root, start)
        try:
            deployment.start(*names)
            yield deployment
        finally:
            deployment.close()


@contextmanager
def taken_over(root: Path, directory: Path, *sites: Site) -> Iterator[Deployment]:
    """A federation in folders that exist, its aggregator and agents started; ended with the block."""
    with pytest.MonkeyPatch.context() as environment:
        for name in _UNSET:
            environment.delenv(name, raising=False)
        deployment = Deployment(root, directory=directory)
        try:
            deployment.start_aggregator()
            for site in sites:
                deployment.sites[site.name] = site
                deployment.start_agent(site.name)
            yield deployment
        finally:
            deployment.close()


def change_settings(settings: Path, changes: Mapping[str, object]) -> None:
    """Change keys of a file of settings."""
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | dict(changes)))


def _has(event: Event, facts: dict[str, object]) -> bool:
    return all(getattr(event, name) == value for name, value in facts.items())


def _line(event: Event) -> str:
    facts = event.model_dump(exclude={"kind", "manifest", "statement"}, exclude_defaults=True)
    return f"{event.kind} {facts}"
