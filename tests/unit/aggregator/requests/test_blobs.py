"""Requests that move blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.blobs import named, put
from tests.federations import MODEL, FederationFixture

from hanse.aggregator.blobs.retention import MOST_CLAIMS
from hanse.core.run.lifecycle import Stop
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Role
from hanse.errors import PolicyError, StorageError
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]

UPDATE = encode({"w": np.ones(3, np.float32)})
DIGEST = named(UPDATE)


def test_a_site_fetches_the_model_of_its_task(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.asked()
            path = service.blob_requests.blob_to_send(fixture.peer("a"), sha256(encode(MODEL)))
            assert path.read_bytes() == encode(MODEL)

    run(main())


def test_a_site_cannot_have_another_sites_update(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.answered(await fixture.asked(), "b")
            with pytest.raises(PolicyError, match="not for collaborator a"):
                service.blob_requests.blob_to_send(fixture.peer("a"), DIGEST)

    run(main())


def test_an_update_is_taken_up_where_it_was_cut_off(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.asked()
            opened = service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, len(UPDATE))
            assert opened is not None
            writer = opened()
            writer.write(UPDATE[:10])
            writer.close()
            state = service.blob_requests.blob_state(fixture.peer("a"), DIGEST)
            assert (state.complete, state.offset) == (False, 10)

    run(main())


def test_an_update_that_is_here_is_not_sent_again(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.asked()
            fixture.bring("a", UPDATE)
            assert service.blob_requests.blob_state(fixture.peer("a"), DIGEST).complete
            assert service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, len(UPDATE)) is None

    run(main())


def test_an_update_that_is_here_needs_no_open_task(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.answered(await fixture.asked(), "a")
            assert service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, len(UPDATE)) is None

    run(main())


def test_a_site_without_a_task_brings_nothing(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.asked()
            await fixture.controller(run_id).execute(Stop("operator"))
            with pytest.raises(PolicyError, match="no open task"):
                service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, len(UPDATE))

    run(main())


def test_an_update_larger_than_its_model_is_refused_before_it_comes(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.asked()
            with pytest.raises(PolicyError, match="wants to upload 200000 bytes"):
                service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, 200_000)

    run(main())


def test_an_operator_is_bound_by_the_settings(fixture: FederationFixture) -> None:
    with pytest.raises(PolicyError, match="max_blob"):
        fixture.service.blob_requests.blob_to_take(fixture.operator, DIGEST, 10**6 + 1)


def test_a_disk_that_is_nearly_full_takes_nothing(fixture: FederationFixture) -> None:
    fixture.options = replace(fixture.options, disk_reserve=1 << 60)
    fixture.journal.close()
    service = fixture.open()

    opened = service.blob_requests.blob_to_take(fixture.operator, DIGEST, len(UPDATE))

    assert opened is not None
    with pytest.raises(StorageError, match="the reserve of"):
        opened()


def test_one_site_cannot_fill_the_disk(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            await fixture.asked()
            for number in range(MOST_CLAIMS[Role.COLLABORATOR]):
                service.blob_requests.blob_to_take(fixture.peer("a"), named(b"%d" % number), 100)
            with pytest.raises(PolicyError, match="used none of them"):
                service.blob_requests.blob_to_take(fixture.peer("a"), DIGEST, 100)
            assert service.blob_requests.blob_to_take(fixture.peer("b"), DIGEST, 100) is not None

    run(main())


def test_a_plans_files_stay_until_it_is_submitted(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            digest = put(fixture.blobs, b"code")
            assert service.blob_requests.blob_state(fixture.operator, digest).complete
            await asyncio.gather(fixture.service._run_registry.retention.collect([digest]))
            assert fixture.blobs.has(digest)

    run(main())
