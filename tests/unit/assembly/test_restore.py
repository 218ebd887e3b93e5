"""Acknowledgement of a restored backup in the folder of an aggregator that is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.receipts import Signer, head
from tests.unit.assembly.test_federation import SETTINGS

from hanse.aggregator.members.restore_hold import RestoreHold, restore_notice
from hanse.assembly import tuning
from hanse.assembly.federation import create_federation
from hanse.assembly.operator import administration
from hanse.assembly.restore import acknowledge_restore
from hanse.control.administration import Administration
from hanse.core.journal.membership import STREAM
from hanse.core.journal.restores import LostRecord, RestoreNotice
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import RunError, StorageError
from hanse.pki.authority import Authority
from hanse.pki.receipts import verify_acknowledgement
from hanse.pki.signing_key import SigningKey
from hanse.storage.journal_sql import SqlJournal
from hanse.wire.messages.members import RestoreReply

SetClock = Callable[[timedelta], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock ahead of the real one."""

    def ahead(by: timedelta) -> None:
        changed = replace(tuning.current, clock=lambda: datetime.now(UTC) + by)
        monkeypatch.setattr(tuning, "current", changed)

    return ahead


@pytest.fixture
def federation(tmp_path: Path) -> Path:
    """A federation whose aggregator has noticed a restore, and is stopped."""
    return restored(tmp_path / "federation")


def restored(directory: Path) -> Path:
    create_federation(directory, SETTINGS)
    signer = Signer(Authority.load(directory / "ca"), tuning.now())
    lost = LostRecord(stream="demo-1", heard=head(9), own=None, site="a")
    RestoreHold(directory).begin(RestoreNotice(lost=lost, receipt=signer.receipt(), noticed_ms=signer.now_ms))
    return directory


def kinds(directory: Path) -> list[str]:
    with closing(SqlJournal(directory / "journal.sqlite")) as journal:
        return [record.kind for record in journal.read(STREAM)]


def test_it_is_signed_by_the_operator_at_home(federation: Path) -> None:
    said = asyncio.run(acknowledge_restore(federation, "the disk failed"))

    with closing(SqlJournal(federation / "journal.sqlite")) as journal:
        record = journal.read(STREAM)[-1]
    statement = CertifiedStatement.model_validate(record.body["statement"])
    acknowledgement, key = verify_acknowledgement(statement, Authority.load(federation / "ca").certificate)
    assert (record.kind, acknowledgement.operator) == ("Restored", "operator")
    assert acknowledgement.reason == "the disk failed"
    assert key == SigningKey.load(federation / "operator" / "pki").fingerprint
    assert restore_notice(federation) is None
    assert "operator acknowledges: the aggregator was restored from a backup" in said


def test_it_is_possible_with_the_expired_certificate_of_an_old_backup(
    federation: Path, clock: SetClock
) -> None:
    clock(timedelta(days=400))

    asyncio.run(acknowledge_restore(federation, ""))

    assert kinds(federation)[-2:] == ["CertificateRenewed", "Restored"]
    assert restore_notice(federation) is None


def test_without_a_notice_there_is_nothing_to_acknowledge(federation: Path) -> None:
    RestoreHold(federation).end()

    with pytest.raises(RunError, match="nothing to acknowledge: each site has connected"):
        asyncio.run(acknowledge_restore(federation, ""))
    assert kinds(federation) == ["PartyEnrolled"]


@pytest.mark.parametrize(
    ("heard", "said"),
    [(0, "yet: no site has connected since"), (1, "yet: 1 of 2 sites have connected since")],
)
def test_an_operator_who_is_too_early_is_told_who_has_yet_to_connect(
    federation: Path, monkeypatch: pytest.MonkeyPatch, heard: int, said: str
) -> None:
    RestoreHold(federation).end()

    async def restore(_: Administration) -> RestoreReply:
        return RestoreReply(sites=2, sites_heard=heard)

    monkeypatch.setattr(Administration, "restore", restore)

    with pytest.raises(RunError, match=said) as refused:
        asyncio.run(acknowledge_restore(federation, "the disk failed"))

    assert "wait until sites have connected" in refused.value.mend


def test_meanwhile_nothing_is_changed_in_the_folder(federation: Path, clock: SetClock) -> None:
    async def remove() -> None:
        async with administration(federation) as parties:
            await parties.remove("operator", force=True)

    clock(timedelta(days=80))  # the operator's certificate would be renewed
    with pytest.raises(StorageError, match="hanse aggregator acknowledge"):
        asyncio.run(remove())

    assert kinds(federation) == ["PartyEnrolled"]
