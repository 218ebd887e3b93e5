"""A membership whose last record was deleted while the aggregator was stopped."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.federations import MODEL, FederationFixture

from hanse.core.journal.membership import STREAM
from hanse.errors import StorageError, TamperedError
from hanse.wire.messages.members import RemoveRequest
from hanse.wire.messages.sites import ReceiptsRequest

Run = Callable[[Any], Any]


async def removed(fixture: FederationFixture) -> None:
    """Site c is removed, as the last record of the membership says."""
    await fixture.service.start()
    await fixture.service.member_requests.remove(fixture.operator, "c", RemoveRequest())


async def rolled_back(fixture: FederationFixture) -> None:
    """The record is deleted with SQLite, and the aggregator opened."""
    await fixture.close()
    with closing(sqlite3.connect(fixture.directory / "journal.db")) as database, database:
        last = "SELECT max(sequence) FROM records WHERE stream = 'federation'"
        deleted = database.execute(f"DELETE FROM records WHERE stream = 'federation' AND sequence = ({last})")
        assert deleted.rowcount == 1
    fixture.open()
    assert fixture.journal.read(STREAM)[-1].kind == "PartyEnrolled"


def test_the_aggregator_does_not_start_where_a_run_names_the_record(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        await removed(fixture)
        run_id = await fixture.submit(initial=MODEL)
        await rolled_back(fixture)
        with pytest.raises(TamperedError, match=rf"lacks record 5 .* when run {run_id} was submitted"):
            await fixture.service.start()
        await fixture.close()

    run(main())


def test_where_no_run_names_the_record_a_site_that_has_heard_of_it_shows_it(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        await removed(fixture)
        heard = await fixture.service.site_requests.receipts(fixture.peer("a"), ReceiptsRequest())
        await rolled_back(fixture)
        await fixture.service.start()
        shown = ReceiptsRequest(receipts=(heard.receipt,))
        with pytest.raises(StorageError, match="record 5 of the journal of the membership"):
            await fixture.service.site_requests.receipts(fixture.peer("a"), shown)
        await fixture.close()

    run(main())


def test_runs_of_before_0_2_that_name_no_record_are_taken_up(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        await fixture.service.start()
        run_id = await fixture.asked()
        record = fixture.journal.read(run_id)[0]
        assert record.body["members"] == {
            "sequence": 4,
            "digest": fixture.journal.read(STREAM)[-1].digest,
        }
        await fixture.close()
        without = {name: value for name, value in record.body.items() if name != "members"}
        fixture.open()
        fixture.journal.append("old-1", [("RunSubmitted", {**without, "run_id": "old-1"})], time_ms=5)
        await asyncio.wait_for(fixture.restart(), 30)
        assert fixture.run("old-1").members is None
        await fixture.close()

    run(main())
