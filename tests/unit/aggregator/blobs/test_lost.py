"""A run that needs a blob which the disk has lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.federations import MODEL, FederationFixture

from hanse.core.run.run import Phase
from hanse.core.values.canonical import sha256
from hanse.errors import InternalError, StorageError
from hanse.wire.messages.sites import NextRequest
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]

LOST = sha256(encode(MODEL))


async def ended(fixture: FederationFixture, run_id: str) -> None:
    async with asyncio.timeout(10):
        await fixture.controller(run_id).in_phase(Phase.FAILED)


def test_a_site_that_asks_for_a_lost_model_has_not_failed_but_the_run_has(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.asked()
            fixture.blobs.delete(LOST)
            with pytest.raises(InternalError, match="missing from the aggregator's folder"):
                service.blob_requests.blob_to_send(fixture.peer("a"), LOST)
            await ended(fixture, run_id)
            state = fixture.run(run_id)
            assert state.error == StorageError.code
            assert f"Put a copy of blobs/{LOST[:2]}/{LOST} back" in state.reason
            assert str(fixture.directory) not in state.reason
            assert not state.exchanges[1].failed

    run(main())


def test_a_run_whose_work_cannot_be_listed_for_a_lost_model_ends(
    fixture: FederationFixture, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            fixture.blobs.delete(LOST)
            await fixture.service.site_requests.next(fixture.peer("a"), NextRequest(known="", wait_s=0.0))
            await ended(fixture, run_id)

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "cannot continue: the aggregator's disk has lost the blob" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_model_of_a_run_that_is_over_is_said_to_be_missing(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.asked()
            fixture.blobs.delete(LOST)
            with pytest.raises(InternalError):
                service.blob_requests.blob_to_send(fixture.operator, LOST)
            await ended(fixture, run_id)
            with pytest.raises(StorageError, match="is missing") as caught:
                service.blob_requests.blob_to_send(fixture.operator, LOST)
            assert not isinstance(caught.value, InternalError)

    run(main())
