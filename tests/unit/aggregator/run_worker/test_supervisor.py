"""Keeping a run's worker going."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sites import fake_sites, until_phase
from tests.federations import MODEL, FederationFixture
from tests.stand_ins import ThreadWorker, run_worker

from hanse.core.run.lifecycle import MAX_RESTARTS
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.run.run_events import WorkerRestarted
from hanse.errors import StorageError, TaskError
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.sandbox.environment import arithmetic_threads
from hanse.sandbox.process import WorkerSpec
from hanse.wire.messages.runs import StopRequest

Run = Callable[[Any], Any]
Main = Callable[[Channel, Confined, tuple[str, ...]], None]

HONEST = run_worker.main
"""What a run's worker does."""


def lives(monkeypatch: pytest.MonkeyPatch, *mains: Main) -> None:
    """Have the first workers do this, and later ones what workers do."""
    left = list(mains)

    def main(channel: Channel, confined: Confined, arguments: tuple[str, ...]) -> None:
        (left.pop(0) if left else HONEST)(channel, confined, arguments)

    monkeypatch.setattr(run_worker, "main", main)


def dies(channel: Channel, _confined: Confined, _arguments: tuple[str, ...]) -> None:
    channel.receive()


def says(data: bytes) -> Main:
    """A worker that writes these bytes, and then waits."""

    def main(channel: Channel, _confined: Confined, _arguments: tuple[str, ...]) -> None:
        channel.receive()
        os.write(channel._descriptor, data)
        channel.receive()

    return main


def restarts(fixture: FederationFixture, run_id: str) -> list[str]:
    return [event.reason for event in fixture.events(run_id) if isinstance(event, WorkerRestarted)]


class TestDeath:
    def test_a_worker_that_dies_is_started_again_and_the_run_goes_on(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives(monkeypatch, dies)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_id = await working.submit()
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED
                assert restarts(working, run_id) == ["the run's worker ended"]

        run(main())

    def test_a_worker_that_dies_again_and_again_fails_the_run(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives(monkeypatch, *[dies] * (MAX_RESTARTS + 1))

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_id = await working.submit()
                ended = await until_phase(working, run_id, *TERMINAL)
                assert ended.phase is Phase.FAILED
                assert f"ended {MAX_RESTARTS + 1} times" in ended.reason

        run(main())

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b'\0\0\0\x11{"call":"coffee"}', "the run worker sent an unknown or malformed call"),
            (b'\0\0\0\x12{"call":"commit"}\n', "commit.round_number: Field required"),
            (b"\0\0\0\x04{...", "not JSON"),
            (b"\xff\xff\xff\xff", "claims 4294967295 bytes"),
            (b'\0\0\0\x14{"call":"fail"' + b"     }", "fail.error"),
        ],
        ids=["an unknown call", "half a call", "no JSON", "too long", "a failure without a reason"],
    )
    def test_a_worker_that_talks_rubbish_is_ended_and_started_again(
        self, data: bytes, words: str, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives(monkeypatch, says(data))

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_id = await working.submit()
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED
                (reason,) = restarts(working, run_id)
                assert "cannot be understood" in reason
                assert words in reason

        run(main())


class TestEnds:
    def test_a_run_is_stopped_while_its_worker_computes(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computing, done = threading.Event(), threading.Event()

        def busy(channel: Channel, _confined: Confined, _arguments: tuple[str, ...]) -> None:
            computing.set()
            done.wait(10)

        lives(monkeypatch, busy)

        async def main() -> None:
            async with working.serving() as service, fake_sites(working):
                run_id = await working.submit()
                await until_phase(working, run_id, Phase.RUNNING)
                await asyncio.to_thread(computing.wait, 10)
                stopped = await service.run_requests.stop(working.operator, run_id, StopRequest())
                assert stopped.phase == "stopped"
                done.set()

        run(main())

    def test_a_run_that_is_resumed_gets_a_worker_of_its_own(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computing, done = threading.Event(), threading.Event()

        def busy(channel: Channel, _confined: Confined, _arguments: tuple[str, ...]) -> None:
            computing.set()
            done.wait(10)

        lives(monkeypatch, busy)

        async def main() -> None:
            async with working.serving() as service, fake_sites(working):
                run_id = await working.submit()
                await until_phase(working, run_id, Phase.RUNNING)
                await asyncio.to_thread(computing.wait, 10)
                await service.run_requests.stop(working.operator, run_id, StopRequest())
                resuming = asyncio.create_task(service.run_requests.resume(working.operator, run_id))
                await asyncio.sleep(0.01)
                assert not resuming.done()  # the first worker has not ended yet
                done.set()
                await resuming
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED
                assert len(ThreadWorker.started) == 2

        run(main())

    def test_a_service_that_closes_while_a_worker_ends_waits_for_that(
        self, working: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_id = await working.submit()
                await until_phase(working, run_id, *TERMINAL)
            assert not any(worker._thread.is_alive() for worker in ThreadWorker.started)
            assert list(working.options.runs.glob("*/life-*")) == []

        run(main())


class TestStart:
    def test_a_worker_that_cannot_start_fails_the_run(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def start(_spec: Any) -> Any:
            raise TaskError("no worker process can be started: too many")

        monkeypatch.setattr(ThreadWorker, "start", start)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                ended = await until_phase(working, await working.submit(), *TERMINAL)
                assert ended.reason.startswith("the run's worker cannot start: no worker process")

        run(main())

    def test_a_workflow_has_one_thread_of_linear_algebra(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        specs: list[WorkerSpec] = []

        async def start(spec: WorkerSpec) -> Any:
            specs.append(spec)
            raise TaskError("enough")

        monkeypatch.setattr(ThreadWorker, "start", start)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                await until_phase(working, await working.submit(), *TERMINAL)

        run(main())
        assert specs[0].environment == arithmetic_threads(1)

    def test_code_that_was_altered_on_the_disk_does_not_run(
        self, working: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with working.serving():
                run_id = await working.submit()
                path = working.blobs.path(working.run(run_id).manifest.files[0].sha256)
                path.chmod(0o600)
                path.write_bytes(b"import os")
                await working.accepted(run_id)
                ended = await until_phase(working, run_id, *TERMINAL)
                assert "its SHA-256 differs" in ended.reason
                assert ThreadWorker.started == []

        run(main())

    def test_what_is_not_confined_is_told_in_the_log(
        self,
        working: FederationFixture,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        confined = Confined((), False, False, False, gaps=("the worker can reach the network",))
        monkeypatch.setattr(ThreadWorker, "layers", confined, raising=False)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                await until_phase(working, await working.submit(), *TERMINAL)

        with caplog.at_level(logging.WARNING):
            run(main())

        assert "can reach the network" in caplog.text

    @pytest.mark.parametrize(
        ("layers", "links"), [(("own file tree", "landlock 7"), 2), (("landlock 7",), 1)]
    )
    def test_models_are_linked_only_where_they_are_shown_read_only(
        self,
        layers: tuple[str, ...],
        links: int,
        working: FederationFixture,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        found: list[int] = []

        def look(channel: Channel, _confined: Confined, arguments: tuple[str, ...]) -> None:
            channel.receive()
            channel.send({"call": "standing"})
            reply = channel.receive()
            assert reply is not None
            found.append((Path(arguments[1]) / reply["ok"]["model"]).stat().st_nlink)

        lives(monkeypatch, look)
        monkeypatch.setattr(
            ThreadWorker, "layers", Confined(layers, True, True, True, gaps=()), raising=False
        )

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                await until_phase(working, await working.submit(initial=MODEL), *TERMINAL)

        run(main())

        assert found == [links]


class TestStorage:
    def full(self, times: int) -> Callable[..., Any]:
        """Refuses what workflows write so often; sites and clocks are served."""
        left = [times]

        def refuse(entries: Any) -> None:
            workflows = {"RoundOpened", "UpdatesAggregated", "RoundCommitted", "RunFinished", "RunFailed"}
            if left[0] and workflows & {kind for kind, _ in entries}:
                left[0] -= 1
                raise StorageError("the disk is full")

        return refuse

    def journal(self, working: FederationFixture, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        append, refuse = working.journal.append, self.full(times)

        def maybe(stream: str, entries: Any, *, time_ms: int) -> Any:
            refuse(entries)
            return append(stream, entries, time_ms=time_ms)

        monkeypatch.setattr(working.journal, "append", maybe)
        monkeypatch.setattr("hanse.aggregator.run_worker.supervisor._LONGEST_PAUSE_S", 0.01)

    def test_a_full_disk_is_waited_for_and_nothing_is_lost(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.journal(working, monkeypatch, times=5)

        async def main() -> None:
            async with working.serving(), fake_sites(working) as sites:
                run_id = await working.submit()
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED
                assert restarts(working, run_id) == []
                assert len(ThreadWorker.started) == 6
                assert all(len(set(site.performed)) == len(site.performed) for site in sites.values())

        run(main())

    def test_a_run_whose_disk_stays_full_is_failed_as_soon_as_that_can_be_written(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.journal(working, monkeypatch, times=4)
        monkeypatch.setattr("hanse.aggregator.run_worker.supervisor._STORAGE_TRIES", 2)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                ended = await until_phase(working, await working.submit(), *TERMINAL)
                assert (ended.phase, ended.reason) == (Phase.FAILED, "the disk is full")

        run(main())
