from __future__ import annotations

import asyncio
import os
import signal

import pytest

from hanse.cli.service import run_until_stopped


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_a_service_in_order(
    number: signal.Signals, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    done = []

    async def service() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("closed")

    assert run_until_stopped(service()) == code
    assert done == ["closed"]
    assert caplog.messages == [f"stopping: {number.name} was received", "stopped"]


def test_a_service_that_ends_by_itself_is_no_failure() -> None:
    async def service() -> None:
        await asyncio.sleep(0)

    assert run_until_stopped(service()) == 0


def test_the_error_of_a_service_is_passed_on() -> None:
    async def service() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_until_stopped(service())


def test_a_service_that_is_cancelled_from_within_does_not_end_quietly() -> None:
    async def service() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_until_stopped(service())
