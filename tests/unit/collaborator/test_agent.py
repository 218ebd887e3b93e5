import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blobs import put
from tests.parties import DAY, NOW
from tests.unit.collaborator.aggregators import LEARNER, MODEL, FakeUpstream, Site, manifest_of, until

from hanse.collaborator.agent import Agent
from hanse.collaborator.review import decide_plan
from hanse.collaborator.run_folder import RunFolder, ended_at
from hanse.config.settings import settings_yaml
from hanse.errors import (
    ConfigError,
    CredentialError,
    ProtocolError,
    StorageError,
    TransportError,
    TrustError,
    VersionError,
)
from hanse.transport.client.retry import Retry
from hanse.wire.messages.sites import Assignment, RunSuspension, RunWork

Run = Callable[[Any], Any]

PID = "__import__('pathlib').Path('pid').write_text(str(__import__('os').getpid())); "


def doing(what: str) -> str:
    """A learner that does this first when it trains, and leaves its process id in its home."""
    return LEARNER.replace("trained = {", f"{PID}{what}; trained = {{")


SPINNING = doing("exec('while True: pass')")
HANGING = doing("__import__('time').sleep(60)")
HANGING_ONCE = doing(
    "p = __import__('pathlib').Path('once'); p.exists() or (p.touch(), __import__('time').sleep(60))"
)


@asynccontextmanager
async def at_work(site: Site, **settings: Any) -> AsyncIterator[Agent]:
    """An agent that runs until the block ends."""
    agent = Agent(site.context(**settings))
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        await agent.stop()
        await running


async def accepted(site: Site, source: str = LEARNER, **plan: Any) -> RunWork:
    """Ask about a plan until it is accepted; the run without tasks."""
    work = site.publish(manifest_of(source, **plan), source)
    site.upstream.want(work)
    await until(lambda: site.upstream.answers)
    return work.model_copy(update={"review": False})


def ask(site: Site, work: RunWork, *assignments: Assignment) -> None:
    site.upstream.want(work.model_copy(update={"assignments": assignments}))


async def worker_pid(site: Site, run_id: str = "demo-1") -> Path:
    """Wait until a task is under way; where its process id stands."""
    path = site.directory / "runs" / run_id / "work" / "pid"
    await until(lambda: path.exists() and path.read_text())
    return path


def workers_of(site: Site) -> list[int]:
    """Processes that work in the site's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(site.directory) in (process / "environ").read_text(errors="replace"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_site_reviews_trains_and_evaluates_until_the_run_is_over(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        upstream = site.upstream
        async with at_work(site):
            work = await accepted(site)
            ask(site, work, site.assignment("train", 1))
            await until(lambda: upstream.outcomes)
            ask(site, work, site.assignment("evaluate", 2))
            await until(lambda: len(upstream.outcomes) == 2)
            assert workers_of(site)
            upstream.want()
            await until(lambda: not workers_of(site))
        assert upstream.closed

    caplog.set_level("INFO")
    run(scenario())

    assert "train of round 1: sent: 10 examples, loss 0.5, an update of 160 bytes, digest" in caplog.text
    assert "evaluate of round 2: sent: 4 examples, accuracy 2.5" in caplog.text
    assert list((site.directory / "blobs").rglob("*.safetensors")) == []
    trained, evaluated = site.upstream.outcomes
    assert np.array_equal(site.upstream.update(trained)["weight"], np.ones((2, 3), np.float32))
    assert evaluated.metrics == {"accuracy": float(MODEL["weight"].mean())}


@pytest.mark.slow
def test_a_worker_that_is_killed_amid_its_task_is_replaced(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, HANGING_ONCE)
            ask(site, work, site.assignment())
            await worker_pid(site)
            for process in workers_of(site):
                with suppress(ProcessLookupError):  # one ends with the other
                    os.kill(process, signal.SIGKILL)
            await until(lambda: site.upstream.outcomes)

    run(scenario())

    assert site.upstream.outcomes[0].outcome == "done"


@pytest.mark.slow
def test_a_task_that_computes_shows_progress_and_one_that_hangs_none(site: Site, run: Run) -> None:
    async def scenario(code: str) -> int:
        site.upstream = FakeUpstream(site.upstream.authority)
        async with at_work(site):
            work = await accepted(site, code)
            ask(site, work, site.assignment())
            pid = await worker_pid(site)
            await asyncio.sleep(0.3)  # until what it did before has been told
            before = len(site.upstream.progressed)
            await asyncio.sleep(0.7)
            pid.unlink()
            return len(site.upstream.progressed) - before

    assert run(scenario(SPINNING)) > 3
    assert run(scenario(HANGING)) == 0


@pytest.mark.slow
def test_a_task_that_is_not_wanted_any_more_makes_way_for_the_next(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, HANGING)
            ask(site, work, site.assignment("train", 1))
            await worker_pid(site)
            ask(site, work, site.assignment("evaluate", 2))
            await until(lambda: site.upstream.outcomes)

    run(scenario())

    assert [outcome.exchange for outcome in site.upstream.outcomes] == [2]


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_its_task(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, HANGING)
            ask(site, work, site.assignment())
            await worker_pid(site)
            site.upstream.want()
            await until(lambda: not workers_of(site))

    run(scenario())

    assert site.upstream.outcomes == []


@pytest.mark.slow
def test_an_agent_that_stops_amid_a_task_leaves_nothing_behind(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, HANGING)
            ask(site, work, site.assignment())
            await worker_pid(site)
        assert workers_of(site) == []
        assert site.upstream.closed

    run(scenario())


@pytest.mark.slow
def test_a_task_is_done_again_only_when_it_is_asked_anew(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    site.upstream.prompt = False

    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, doing("open('once', 'x').close() or boom"), tasks=NO_RETRIES)
            ask(site, work, site.assignment(deadline_ms=1))
            await until(lambda: site.upstream.outcomes)
            ask(site, work, site.assignment(deadline_ms=1), site.assignment("evaluate", 2))
            await until(lambda: len(site.upstream.outcomes) == 2)
            ask(site, work, site.assignment(deadline_ms=2))
            await until(lambda: len(site.upstream.outcomes) == 3)

    run(scenario())

    assert [outcome.exchange for outcome in site.upstream.outcomes] == [1, 2, 1]
    first, again = [text for text in caplog.messages if " failed: train failed at " in text]
    assert "NameError" in first
    assert "FileExistsError" in again


NO_RETRIES = {
    "train": {"retries": 0, "discloses": {"update": "aggregate", "aggregated_by": "aggregator"}},
    "evaluate": {"discloses": {"metrics": ["accuracy"]}},
}


@pytest.mark.slow
def test_runs_go_on_side_by_side(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            work = await accepted(site, HANGING_ONCE)
            other = work.model_copy(update={"run_id": "demo-2", "assignments": (site.assignment(),)})
            ask(site, work, site.assignment())
            await worker_pid(site)
            site.upstream.want(work.model_copy(update={"assignments": (site.assignment(),)}), other)
            await worker_pid(site, "demo-2")

    run(scenario())


def test_a_persons_answer_is_found_at_the_next_turn(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site, policy={}) as agent:
            work = site.publish(manifest_of())
            site.upstream.want(work)
            await until(agent._here.plans.pending)
            (site.directory / "site.yaml").write_text(settings_yaml(agent._here.settings))
            decide_plan(site.directory, work.plan_digest, approve=True, reason="", now=NOW)
            site.upstream.want(work)
            await until(lambda: site.upstream.answers)

    run(scenario())

    assert [answer.accepted for answer in site.upstream.answers] == [True]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("next", CredentialError("hospital-a was removed from the federation")),
        ("hello", ProtocolError("something else answers there")),
        ("answer", TrustError("somebody else signed it")),
    ],
)
def test_what_cannot_pass_ends_the_agent_with_the_reason(
    site: Site, run: Run, method: str, error: Exception
) -> None:
    async def scenario() -> None:
        site.upstream.want(site.publish(manifest_of()))
        site.upstream.fail(method, error)
        async with asyncio.timeout(30):
            await Agent(site.context()).run()

    with pytest.raises(type(error), match=str(error)):
        run(scenario())
    assert site.upstream.closed


def test_an_upgrade_is_waited_for_and_told_as_an_error(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    retry = Retry(upgrade_s=60.0, sleep=sleep, uniform=lambda: 0.5)
    site.upstream.fail("hello", VersionError("it speaks protocol 2, and this end 1"))

    async def scenario() -> None:
        agent = Agent(replace(site.context(), retry_policy=retry))
        running = asyncio.create_task(agent.run())
        await until(lambda: "connected to the aggregator" in caplog.text)
        await agent.stop()
        await running

    caplog.set_level("INFO")
    run(scenario())

    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "it speaks protocol 2, and this end 1; the next in 45.0 s" in line.getMessage()
    assert waits == [45.0]


def test_an_aggregator_that_is_away_is_waited_for_and_said_so(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    away = TransportError("https://aggregator.example.org cannot be reached: Connection refused")
    site.upstream.fail("hello", away, away)
    site.upstream.fail("next", away)

    async def scenario() -> None:
        async with at_work(site):
            await accepted(site)

    run(scenario())

    assert "try 2 failed: https://aggregator.example.org cannot be reached" in caplog.text
    assert "the aggregator answers again" in caplog.text


def test_what_is_waited_for_is_said(site: Site, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def scenario() -> None:
        async with at_work(site):
            site.upstream.want()
            await until(lambda: "waiting for a run" in caplog.text)
            site.upstream.want(await accepted(site))
            await until(lambda: "waiting for the next task of demo-1" in caplog.text)

    run(scenario())


def test_only_one_agent_uses_a_folder(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site):
            await accepted(site)
            with pytest.raises(StorageError, match="another collaborator"):
                await Agent(site.context()).run()

    run(scenario())


def test_another_federation_is_not_served(site: Site, run: Run) -> None:
    site.upstream.federation = "south"

    with pytest.raises(TrustError, match="serves the federation south, and this site is of north"):
        run(Agent(site.context()).run())


def test_settings_of_another_site_are_refused(site: Site, run: Run) -> None:
    with pytest.raises(ConfigError, match=r"site\.yaml is that of hospital-b in north"):
        run(Agent(site.context(name="hospital-b")).run())


@pytest.mark.parametrize("place", [".", ".."])
def test_data_that_hold_the_sites_own_folder_are_refused(site: Site, run: Run, place: str) -> None:
    with pytest.raises(ConfigError, match="holds this site's own folder with its key"):
        run(Agent(site.context(data={"all": str(site.directory / place)})).run())


def test_a_wrong_clock_is_told(site: Site, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    site.clock = lambda: NOW + timedelta(minutes=5)

    async def scenario() -> None:
        async with at_work(site):
            await accepted(site)

    run(scenario())

    assert "this machine's clock is +300 s from the aggregator's" in caplog.text


def test_a_certificate_is_renewed_while_the_agent_works_also_after_a_full_disk(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    site.clock = lambda: NOW + 0.9 * DAY
    site.upstream.fail("renew", StorageError("the disk is full"))

    async def scenario() -> None:
        async with at_work(site):
            await until(lambda: "cannot be renewed now: the disk is full" in caplog.text)
            site.upstream.want()
            await until(lambda: site.shown)

    run(scenario())


def test_an_agent_that_was_stopped_does_not_begin(site: Site, run: Run) -> None:
    agent = Agent(site.context())

    run(agent.stop())
    run(agent.run())

    assert not (site.directory / "lock").exists()


def test_a_run_that_ended_while_no_agent_ran_is_tidied_up(site: Site, run: Run) -> None:
    leftover = site.directory / "runs" / "demo-0" / "in" / f"{'0' * 64}.safetensors"
    leftover.parent.mkdir(parents=True)
    leftover.touch()

    async def scenario() -> None:
        async with at_work(site):
            site.upstream.want()
            await until(lambda: not leftover.exists())

    run(scenario())


def test_what_an_agent_brought_that_died_before_it_could_delete_it_is_deleted_by_the_next(
    site: Site, run: Run
) -> None:
    blobs = site.context().blobs
    left = put(blobs, b"a model that was shown to the worker already")

    async def scenario() -> None:
        async with at_work(site):
            await until(lambda: not blobs.has(left))

    run(scenario())


def test_what_came_in_part_and_long_ago_is_deleted_by_the_next_agent(site: Site, run: Run) -> None:
    blobs = site.context().blobs
    with closing(blobs.write("0" * 64, "a", 100)) as writer:
        writer.write(b"the first bytes of a model that nobody asks for any more")
    long_ago = (NOW - 2 * DAY).timestamp()
    for part in (site.directory / "blobs" / "uploads").iterdir():
        os.utime(part, (long_ago, long_ago))

    async def scenario() -> None:
        async with at_work(site):
            await until(lambda: blobs.partial_size("0" * 64, "a") == 0)

    run(scenario())


def test_a_site_that_is_set_aside_is_told_so_once_and_when_it_no_longer_is(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with at_work(site):
            work = await accepted(site)
            suspension = RunSuspension(reason="it failed in 3 rounds in a row", reinstatement_round=12)
            for found, words in ((suspension, "it failed"), (suspension, "it failed"), (None, "no longer")):
                site.upstream.want(work.model_copy(update={"suspension": found}))
                await until(lambda words=words: words in caplog.text)

    with caplog.at_level("INFO"):
        run(main())

    told = (
        "run demo-1: this site is suspended: it failed in 3 rounds in a row; it is asked again from round 12"
    )
    assert caplog.text.count(told) == 1
    assert "hanse run reinstate demo-1 " in caplog.text


def test_the_end_of_a_run_is_told_once_and_not_at_each_start(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    RunFolder(site.directory / "runs" / "demo-1")

    async def start() -> None:
        asked = len(site.upstream.waits)
        async with at_work(site):
            await until(lambda: len(site.upstream.waits) > asked + 1)
            await until(lambda: ended_at(site.directory / "runs" / "demo-1") is not None)

    caplog.set_level("INFO")
    run(start())
    run(start())

    assert caplog.text.count("run demo-1 is over for this site") == 1


def test_a_question_ends_before_the_certificate_has_to_be_renewed(site: Site, run: Run) -> None:
    async def main() -> None:
        async with at_work(site):
            await until(lambda: site.upstream.waits)

    site.clock = lambda: NOW + 0.67 * DAY - timedelta(seconds=7)
    run(main())

    assert 1 <= site.upstream.waits[0] <= 8


def test_a_question_waits_no_longer_than_a_proxy_lets_it(site: Site, run: Run) -> None:
    async def main() -> None:
        async with at_work(site):
            await until(lambda: site.upstream.waits)

    run(main())

    assert site.upstream.waits[0] == 30
