"""An exported journal, genuine or forged by the aggregator, before an auditor with the sites' receipts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import named
from tests.journals import (
    LAST_MODEL,
    MODEL,
    NOW,
    NOW_MS,
    RUN,
    SITES,
    UPDATE,
    Author,
    Lines,
    World,
    new_world,
    reseal,
)
from tests.receipts import Signer, head

from hanse.collaborator.receipts.notes import KNOWN, NotedRestore, write_note
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.control.audit import verify
from hanse.control.receipts import check_receipts
from hanse.control.report import WITHOUT_RECEIPTS, AuditReport
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt, ReceivedOutcome
from hanse.core.run.lifecycle import Finish, NameRestore, Stop
from hanse.core.run.workflow import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.values.canonical import canonical_json, digest_of
from hanse.core.values.identity import Role
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import ConfigError
from hanse.pki.receipts import sign_receipt
from hanse.wire.messages.sites import UpdateFile

RESTORED = head(7, "d")


@dataclass
class Witnesses:
    """A run in which sites keep the receipts that they get."""

    author: Author
    folder: Path
    members: ChainHead = field(default_factory=lambda: head(3))
    restored: ChainHead | None = None
    last: dict[str, ChainHead] = field(default_factory=dict)

    def site(self, name: str) -> Path:
        return self.folder / name

    def receipt(self, name: str, **changes: Any) -> CertifiedStatement:
        """A receipt of the last outcome of a site."""
        records = self.author.journal.read(RUN)
        told = next(
            record
            for record in reversed(records)
            if record.kind in ("UpdateAccepted", "TaskFailed") and record.body["site"] == name
        )
        received = ReceivedOutcome.model_validate(
            {
                "run_id": RUN,
                "exchange": told.body["exchange"],
                "outcome": digest_of(told.body["statement"]["body"]),
                "journal": ChainHead.of(records[-1]),
                "known": self.last.get(name),
                **changes.pop("received", {}),
            }
        )
        self.last[name] = received.journal
        receipt = Receipt.model_validate(
            {
                "federation": "north",
                "site": name,
                "members": self.members,
                "restored": self.restored,
                "received": received,
                "time_ms": NOW_MS,
                **changes,
            }
        )
        return sign_receipt(self.author.aggregator, receipt)

    def keep(self, name: str, statement: CertifiedStatement) -> None:
        self.site(name).mkdir(parents=True, exist_ok=True)
        ReceiptStore(self.site(name)).add(statement, Receipt.model_validate(statement.body))

    def answer(self, name: str, **changes: Any) -> None:
        self.author.answer_task(name, **changes)
        self.keep(name, self.receipt(name))

    def train(self) -> None:
        for name in SITES:
            self.author.accept_plan(name)
        for command in (OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
            self.author.do(command)
        for name in SITES:
            self.answer(name, update=UpdateFile(digest=UPDATE, size=120))
        self.author.do(RecordAggregate(1, SITES, 10, "e" * 64))

    def evaluate(self) -> None:
        self.author.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        self.answer("budapest")
        self.answer("zurich", outcome="failed", reason="out of memory", log_tail="killed")
        self.author.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.author.do(Finish())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def witnesses(world: World, tmp_path: Path) -> Witnesses:
    """A whole run, and the receipts of its sites."""
    witnesses = Witnesses(Author(world), tmp_path / "sites")
    witnesses.train()
    witnesses.evaluate()
    return witnesses


@pytest.fixture
def examined(world: World, witnesses: Witnesses, tmp_path: Path) -> Callable[..., AuditReport]:
    """Hold the journal, which the aggregator may have forged, against the receipts of sites."""

    def examine(
        forge: Callable[[Lines], object] = lambda lines: None, sites: tuple[str, ...] = SITES
    ) -> AuditReport:
        path = witnesses.author.export(tmp_path / "journal.jsonl")
        lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
        forge(lines)
        reseal(lines, witnesses.author.aggregator)
        path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        authority = world.authority.certificate
        report = verify(path, authority)
        check_receipts(report, path, [witnesses.site(name) for name in sites], authority)
        return report

    return examine


Examined = Callable[..., AuditReport]


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}


def denied(lines: Lines) -> None:
    """Take the failure of zurich out of the journal, as if it had never come."""
    lines.remove(next(line for line in lines if line.get("kind") == "TaskFailed"))
    closed = [line for line in lines if line.get("kind") == "ExchangeClosed"][-1]
    lines.remove(closed)


def test_a_genuine_journal_has_all_that_the_sites_hold_receipts_of(examined: Examined) -> None:
    report = examined()

    assert problems(report) == {}
    assert report.receipts is not None
    assert report.receipts.counted == {"budapest": 2, "zurich": 2}
    assert report.receipts.remarks == []
    assert WITHOUT_RECEIPTS not in report.not_proved


def test_without_receipts_the_report_says_what_is_not_proved(
    witnesses: Witnesses, world: World, tmp_path: Path
) -> None:
    report = verify(witnesses.author.export(tmp_path / "journal.jsonl"), world.authority.certificate)

    assert problems(report) == {}
    assert WITHOUT_RECEIPTS in report.not_proved
    assert WITHOUT_RECEIPTS in report.as_json()["not_proved"]


def test_an_answer_that_was_confirmed_and_then_denied_is_noticed(
    examined: Examined, witnesses: Witnesses
) -> None:
    report = examined(denied, sites=("zurich",))

    found = problems(report)["receipts"]
    assert any("record" in problem and "the journal has another one" in problem for problem in found)
    assert any("it has an outcome of exchange 2, and the journal lacks that outcome" in p for p in found)


def test_an_outcome_that_was_confirmed_and_never_recorded_is_noticed(
    examined: Examined, witnesses: Witnesses
) -> None:
    denial = witnesses.receipt("budapest", received={"outcome": "9" * 64})
    witnesses.keep("budapest", denial)

    (problem,) = problems(examined())["receipts"]

    assert "budapest that it has an outcome of exchange 2, and the journal lacks that outcome" in problem


def test_an_outcome_that_was_recorded_only_after_its_receipt_named_the_last_record_is_noticed(
    examined: Examined, witnesses: Witnesses
) -> None:
    early = witnesses.author.journal.read(RUN)[3]
    witnesses.last.clear()
    witnesses.keep("zurich", witnesses.receipt("zurich", received={"journal": ChainHead.of(early)}))

    (problem,) = problems(examined())["receipts"]

    assert "lacks that outcome" in problem


def test_a_tail_that_was_cut_off_and_sealed_again_is_noticed(examined: Examined) -> None:
    report = examined(lambda lines: lines.__delitem__(slice(12, -1)))

    assert problems(report).keys() == {"receipts"}
    assert "the journal ends before it, though it was sealed later" in problems(report)["receipts"][0]


def test_a_tail_that_was_cut_off_is_noticed_though_the_seal_is_dated_back(
    examined: Examined, witnesses: Witnesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.journals.NOW_MS", NOW_MS - 1)

    report = examined(lambda lines: lines.__delitem__(slice(12, -1)))

    assert (
        "ends before it, sealed earlier: ask for an export that is made now"
        in (problems(report)["receipts"][0])
    )


def test_changed_times_are_noticed(examined: Examined) -> None:
    def earlier(lines: Lines) -> None:
        for line in lines[1:-1]:
            line["time_ms"] -= 60_000

    report = examined(earlier)

    assert problems(report).keys() == {"receipts"}
    assert "has another one" in problems(report)["receipts"][0]


def test_two_journals_for_two_sites_are_found_when_both_folders_are_given(
    world: World, tmp_path: Path
) -> None:
    author = Author(world)
    shown, hidden = Witnesses(author, tmp_path / "sites"), Witnesses(Author(world), tmp_path / "sites")
    hidden.author.sites, hidden.author.aggregator = author.sites, author.aggregator
    for each in (shown, hidden):
        each.keep = _keeping(each, "budapest" if each is shown else "zurich")  # type: ignore[method-assign]
        each.train()
        if each is hidden:
            each.author.do(OpenExchange(1, 1, "evaluate", MODEL))
            each.answer("zurich")
        else:
            each.evaluate()
    path = author.export(tmp_path / "journal.jsonl")
    certificate = world.authority.certificate

    def report(*sites: str) -> AuditReport:
        found = verify(path, certificate)
        check_receipts(found, path, [tmp_path / "sites" / name for name in sites], certificate)
        return found

    assert problems(report("budapest")) == {}
    assert problems(report("budapest", "zurich")).keys() == {"receipts"}


def _keeping(witnesses: Witnesses, name: str) -> Any:
    keep = witnesses.keep
    return lambda site, statement: keep(site, statement) if site == name else None


def test_two_memberships_for_two_sites_are_noticed(examined: Examined, witnesses: Witnesses) -> None:
    witnesses.members = head(3, "b")
    witnesses.keep("zurich", witnesses.receipt("zurich"))

    found = problems(examined())["receipts"]

    assert any("names another record 3 of the membership than" in problem for problem in found)


def test_another_membership_than_the_run_was_submitted_with_is_noticed(
    examined: Examined, witnesses: Witnesses
) -> None:
    def submitted(lines: Lines) -> None:
        lines[1]["body"]["members"] = {"sequence": 3, "digest": "b" * 64}

    found = problems(examined(submitted))["receipts"]

    assert any("record 3 of the membership than the journal" in problem for problem in found)


def forged(witnesses: Witnesses, world: World, tmp_path: Path) -> dict[str, CertifiedStatement]:
    sound = witnesses.receipt("zurich", received={"outcome": "9" * 64})
    foreign = Witnesses(witnesses.author, witnesses.folder)
    stranger = new_world(tmp_path).party("hub", Role.AGGREGATOR)
    return {
        "altered": sound.model_copy(update={"signature": "AAAA"}),
        "a site's own": sign_receipt(witnesses.author.sites["zurich"], Receipt.model_validate(sound.body)),
        "another federation's": sign_receipt(stranger, Receipt.model_validate(sound.body)),
        "in another federation's name": foreign.receipt("zurich", federation="south"),
    }


@pytest.mark.parametrize(
    "forgery", ["altered", "a site's own", "another federation's", "in another federation's name"]
)
def test_a_receipt_that_the_aggregator_did_not_sign_says_nothing_against_the_journal(
    examined: Examined, witnesses: Witnesses, world: World, tmp_path: Path, forgery: str
) -> None:
    (tmp_path / "stranger").mkdir()
    witnesses.keep("zurich", forged(witnesses, world, tmp_path / "stranger")[forgery])

    report = examined()

    assert problems(report) == {}
    assert report.receipts is not None
    assert report.receipts.counted["zurich"] == 2
    assert "proves nothing" in report.receipts.remarks[0]


def test_a_damaged_line_is_left_out_and_named(examined: Examined, witnesses: Witnesses) -> None:
    path = witnesses.site("zurich") / "receipts" / f"{RUN}.jsonl"
    path.write_bytes(b"?\n" + path.read_bytes() + b'{"torn')

    report = examined()

    assert problems(report) == {}
    assert report.receipts is not None
    assert report.receipts.remarks == [f"line 1 of {path} proves nothing: it is not JSON"]


def test_a_receipt_of_another_run_says_nothing(examined: Examined, witnesses: Witnesses) -> None:
    other = witnesses.receipt("zurich", received={"run_id": "heart-2", "outcome": "9" * 64})
    witnesses.keep("zurich", other)

    report = examined()

    assert problems(report) == {}


def test_the_copy_of_a_sites_receipts_serves_as_its_folder(
    examined: Examined, witnesses: Witnesses, world: World, tmp_path: Path
) -> None:
    report = examined()
    copy = (witnesses.site("zurich") / "receipts").rename(tmp_path / "copy")

    check_receipts(report, tmp_path / "journal.jsonl", [copy])

    assert report.receipts is not None
    assert report.receipts.counted == {"zurich": 2}


def test_a_folder_without_receipts_of_the_run_is_refused(examined: Examined, tmp_path: Path) -> None:
    report = examined()
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigError, match="has no receipts of run heart-1"):
        check_receipts(report, tmp_path / "journal.jsonl", [tmp_path / "empty"])


class TestRestore:
    def restore(self, witnesses: Witnesses, world: World, record: ChainHead = RESTORED) -> Signer:
        """The backup of before the evaluation is put back, and an operator acknowledges it."""
        signer = Signer(world.authority, NOW)
        witnesses.author.do(NameRestore(record, signer.acknowledgement()))
        witnesses.restored, witnesses.members = record, head(8)
        return signer

    def lost(self, world: World, tmp_path: Path) -> Witnesses:
        """A run whose evaluation was lost, with the receipts of it."""
        witnesses = Witnesses(Author(world), tmp_path / "sites")
        witnesses.train()
        kept = witnesses.author
        gone = witnesses.receipt("zurich", received={"journal": head(99), "exchange": 2, "outcome": "9" * 64})
        witnesses.keep("zurich", gone)
        witnesses.last.clear()
        witnesses.author = kept
        return witnesses

    def report(self, witnesses: Witnesses, world: World, tmp_path: Path) -> AuditReport:
        path = witnesses.author.export(tmp_path / "journal.jsonl")
        report = verify(path, world.authority.certificate)
        check_receipts(report, path, [witnesses.site(name) for name in SITES], world.authority.certificate)
        return report

    def test_it_is_reported_with_who_acknowledged_it_and_why(self, world: World, tmp_path: Path) -> None:
        witnesses = self.lost(world, tmp_path)
        signer = self.restore(witnesses, world)
        witnesses.evaluate()

        report = self.report(witnesses, world, tmp_path)

        (restore,) = report.restores
        assert (restore.operator, restore.reason) == ("olga", "a disk failed")
        assert restore.signing_key == signer.key.fingerprint
        assert (restore.sequence, restore.digest) == (RESTORED.sequence, RESTORED.digest)
        assert report.as_json()["restores"][0]["operator"] == "olga"

    @pytest.mark.parametrize("listed", ["own", "other"])
    def test_the_operators_key_is_held_against_the_auditors_list(
        self, world: World, tmp_path: Path, listed: str
    ) -> None:
        witnesses = self.lost(world, tmp_path)
        signer = self.restore(witnesses, world)
        witnesses.evaluate()
        path = witnesses.author.export(tmp_path / "journal.jsonl")
        key = signer.key.fingerprint if listed == "own" else "0" * 64

        report = verify(path, world.authority.certificate, {"olga": (key,)})

        assert ("signers" in problems(report)) == (listed == "other")

    def test_it_explains_receipts_of_before_it_in_a_remark(self, world: World, tmp_path: Path) -> None:
        witnesses = self.lost(world, tmp_path)
        self.restore(witnesses, world)
        witnesses.evaluate()

        report = self.report(witnesses, world, tmp_path)

        assert problems(report) == {}
        assert report.receipts is not None
        assert "2 records that receipts name are missing, from before a restore" in report.receipts.remarks[0]

    def test_it_explains_nothing_of_after_it(self, world: World, tmp_path: Path) -> None:
        witnesses = self.lost(world, tmp_path)
        self.restore(witnesses, world)
        witnesses.evaluate()
        witnesses.keep("zurich", witnesses.receipt("zurich", received={"outcome": "8" * 64}))

        found = problems(self.report(witnesses, world, tmp_path))["receipts"]

        assert len(found) == 1

    def test_without_it_receipts_of_lost_records_fail(self, world: World, tmp_path: Path) -> None:
        witnesses = self.lost(world, tmp_path)
        witnesses.evaluate()

        assert len(problems(self.report(witnesses, world, tmp_path))["receipts"]) == 2

    def earlier(
        self, witnesses: Witnesses, world: World, tmp_path: Path, *, acknowledged_ms: int
    ) -> AuditReport:
        """The report on an export of before a restore, with receipts of before and of after it."""
        path = witnesses.author.export(tmp_path / "earlier.jsonl")
        report = verify(path, world.authority.certificate)
        before = self.lost(world, tmp_path / "other")  # another run of this name, after the restore
        signer = self.restore(before, world)
        before.author.do(Stop("operator"))
        for name in SITES:
            before.folder = witnesses.folder
            before.keep(name, before.receipt(name))
            statement = signer.acknowledgement(time_ms=acknowledged_ms)
            note = NotedRestore(record=RESTORED, statement=statement, noticed_ms=acknowledged_ms)
            write_note(witnesses.site(name), KNOWN, note)
        folders = [witnesses.site(name) for name in SITES]
        check_receipts(report, path, folders, world.authority.certificate)
        return report

    def test_an_export_of_before_it_is_not_held_against_receipts_of_after_it(
        self, world: World, witnesses: Witnesses, tmp_path: Path
    ) -> None:
        report = self.earlier(witnesses, world, tmp_path, acknowledged_ms=NOW_MS + 60_000)

        assert problems(report) == {}
        assert report.receipts is not None
        assert report.receipts.counted == dict.fromkeys(SITES, 2)
        assert f"{len(SITES)} receipts are not held against this journal" in report.receipts.remarks[0]

    def test_a_journal_that_was_sealed_after_it_has_to_name_it(
        self, world: World, witnesses: Witnesses, tmp_path: Path
    ) -> None:
        report = self.earlier(witnesses, world, tmp_path, acknowledged_ms=NOW_MS - 1)

        assert "has another one" in problems(report)["receipts"][0]

    def test_receipts_of_lost_records_are_not_counted_as_of_this_run(
        self, world: World, tmp_path: Path
    ) -> None:
        witnesses = self.lost(world, tmp_path)
        self.restore(witnesses, world)

        report = self.report(witnesses, world, tmp_path)

        assert report.receipts is not None
        assert report.receipts.counted == dict.fromkeys(SITES, 1)

    def test_one_that_no_operator_signed_is_noticed_and_explains_nothing(
        self, world: World, tmp_path: Path
    ) -> None:
        witnesses = self.lost(world, tmp_path)
        signer = Signer(world.authority, NOW)
        signer.operator = signer.aggregator
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement()))
        witnesses.evaluate()

        found = problems(self.report(witnesses, world, tmp_path))

        assert "in the name of" in found["statements"][0]
        assert len(found["receipts"]) == 2
