import asyncio
import subprocess
import sys
import time

import pytest

from hanse.collaborator import progress
from hanse.collaborator.progress import Progress, always, cpu_time

SPIN = "while True: pass"
SLEEP = "import time; print(flush=True); time.sleep(60)"


def started(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen((sys.executable, "-c", code), start_new_session=True, stdout=subprocess.PIPE)


async def never() -> None:
    raise AssertionError("not to be called")


def watched(signs: list[object]) -> int:
    """How often is reported while these signs are seen."""
    reports = 0

    async def report() -> None:
        nonlocal reports
        reports += 1

    async def scenario() -> None:
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()
        watching = Progress(report, 0.001)
        watching.sign = lambda: signs.pop(0) if signs else loop.call_soon_threadsafe(seen.set)
        task = asyncio.create_task(watching.watch())
        await seen.wait()
        task.cancel()

    asyncio.run(scenario())
    return reports


def test_a_task_is_reported_soon_after_it_began() -> None:
    assert watched([]) == 1


def test_of_a_task_that_ends_sooner_nothing_is_reported() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(Progress(never, 60.0, first_s=60.0).watch())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_beats_of_an_even_pace_follow_neither_the_sign_nor_a_shorter_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    slept = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await slept(0)

    async def scenario() -> int:
        done, beats = asyncio.Event(), []

        async def report() -> None:
            beats.append(None)
            if len(beats) == 5:
                done.set()

        even = Progress(report, 0.001)
        even.even, even.sign = True, lambda: "hung"
        task = asyncio.create_task(even.watch())
        await done.wait()
        task.cancel()
        return len(beats)

    monkeypatch.setattr(progress.asyncio, "sleep", sleep)

    assert asyncio.run(scenario()) == 5
    assert min(waited[1:]) == progress.LEAST_EVEN_S


def test_after_that_only_what_gets_on_is_reported() -> None:
    assert watched([1, 1, 1, 2, 2, 3]) == 1 + 3


def test_the_first_sign_is_reported_whatever_it_is() -> None:
    assert watched([0]) == 1 + 1


def test_what_ends_by_itself_counts_as_getting_on() -> None:
    sign = always()

    assert sign() != sign()


@pytest.mark.parametrize("by_ps", [False, True])
def test_a_process_that_computes_gets_on_and_one_that_sleeps_does_not(
    by_ps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = progress._cpu_time_by_ps if by_ps else cpu_time
    with started(SPIN) as busy, started(SLEEP) as asleep:
        try:
            assert asleep.stdout is not None
            asleep.stdout.readline()
            before = read(busy.pid), read(asleep.pid)
            limit = time.monotonic() + 20
            while read(busy.pid) == before[0] and time.monotonic() < limit:
                time.sleep(0.05)
            assert read(busy.pid) != before[0]
            assert read(asleep.pid) == before[1]
        finally:
            busy.kill()
            asleep.kill()
