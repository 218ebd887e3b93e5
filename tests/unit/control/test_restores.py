"""An exported journal that names a restore of the aggregator, genuine or made up, and receipts of sites."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.journals import NOW, NOW_MS, RUN, SITES, Author, Lines, World, new_world, reseal
from tests.receipts import Signer, head
from tests.witnesses import Witnesses, problems

from hanse.collaborator.receipts.notes import KNOWN, NotedRestore, write_note
from hanse.control.audit import verify
from hanse.control.receipts import check_receipts
from hanse.control.report import AuditReport
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.restores import LostRecord
from hanse.core.run.lifecycle import NameRestore, Stop
from hanse.core.run.run_events import AggregatorRestored
from hanse.core.values.canonical import canonical_json
from hanse.core.values.statements import CertifiedStatement

RESTORED = head(7, "d")


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


Examined = Callable[..., AuditReport]


class TestForgery:
    """The aggregator forges its journal, with a restore in it that is to explain what receipts show."""

    @pytest.fixture
    def witnesses(self, world: World, tmp_path: Path) -> Witnesses:
        witnesses = Witnesses(Author(world), tmp_path / "sites")
        witnesses.train()
        return witnesses

    @pytest.fixture
    def examined(self, world: World, witnesses: Witnesses, tmp_path: Path) -> Examined:
        def examine(forge: Callable[[Lines], object] = lambda lines: None, **listed: str) -> AuditReport:
            path = witnesses.author.export(tmp_path / "journal.jsonl")
            lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
            forge(lines)
            reseal(lines, witnesses.author.aggregator)
            path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
            certificate = world.authority.certificate
            report = verify(path, certificate, {name: (key,) for name, key in listed.items()} or None)
            check_receipts(report, path, [witnesses.site(name) for name in SITES], certificate)
            return report

        return examine

    def made_up(self, statement: CertifiedStatement, number: int = 2**40) -> Callable[[Lines], None]:
        """Cut off what came after training, and put a restore in its place."""

        def forge(lines: Lines) -> None:
            place = next(n for n, line in enumerate(lines) if line.get("kind") == "UpdatesAggregated") + 1
            event = AggregatorRestored(record=head(number, "d"), statement=statement)
            body = event.model_dump(mode="json", exclude={"kind"})
            lines[place:-1] = [{**lines[place], "kind": event.kind, "body": body}]

        return forge

    def noticed_here(self, witnesses: Witnesses, heard: int = 99) -> LostRecord:
        """What shows a restore after which the run's journal ends where it stands."""
        own = ChainHead.of(witnesses.author.journal.read(RUN)[-1])
        return LostRecord(stream=RUN, heard=head(heard), own=own, site="zurich")

    def test_what_only_a_restore_explains_is_not_proved_and_its_operator_is_named(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        witnesses.evaluate()
        signer = Signer(world.authority, NOW)
        sites = {name: witnesses.author.key(name).fingerprint for name in SITES}

        report = examined(self.made_up(signer.acknowledgement()), **sites)

        assert problems(report) == {}
        (line,) = [each for each in report.not_proved if "went missing by a restore" in each]
        assert "that 4 records which receipts name" in line
        key = signer.key.fingerprint[:16]
        assert f"olga with key {key}, which is in no list of signers that was given, signed so" in line
        assert "no receipt of budapest and zurich that is given names the restore" in line
        assert any(
            "that the end is as the aggregator wrote it: no receipt names" in p for p in report.not_proved
        )

    def test_of_a_listed_operator_and_sites_that_know_of_it_the_restore_is_all_that_is_named(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        gone = witnesses.receipt("zurich", received={"journal": head(99), "exchange": 2, "outcome": "9" * 64})
        witnesses.keep("zurich", gone)
        signer, here = Signer(world.authority, NOW), self.noticed_here(witnesses)
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement(lost=here)))
        witnesses.restored, witnesses.members = RESTORED, head(8)
        witnesses.last.clear()
        witnesses.evaluate()

        report = examined(olga=signer.key.fingerprint)

        assert problems(report) == {}
        assert json.loads(json.dumps(report.as_json()))["restores"][0]["listed"]
        (line,) = [each for each in report.not_proved if "went missing by a restore" in each]
        assert line.endswith(f": olga with key {signer.key.fingerprint[:16]} signed so")

    def test_times_that_were_set_back_before_a_made_up_restore_are_noticed(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        witnesses.evaluate()
        restore = self.made_up(Signer(world.authority, NOW).acknowledgement())

        def forge(lines: Lines) -> None:
            restore(lines)
            for line in lines[1:-1]:
                line["time_ms"] -= 3_600_000

        assert len(problems(examined(forge))["receipts"]) > 4

    @pytest.mark.parametrize("changes", [{}, {"restored": head(6, "e")}], ids=["none", "another"])
    def test_a_receipt_that_is_dated_after_the_restore_is_not_explained_by_it(
        self, examined: Examined, witnesses: Witnesses, world: World, changes: dict[str, Any]
    ) -> None:
        signer = Signer(world.authority, NOW - timedelta(seconds=1))
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement(lost=self.noticed_here(witnesses))))
        later = witnesses.receipt("zurich", received={"journal": head(99)}, time_ms=NOW_MS, **changes)
        witnesses.keep("zurich", later)

        (problem,) = problems(examined())["receipts"]

        assert "record 99 of the run" in problem

    def test_records_that_the_backup_had_cannot_be_changed_after_a_genuine_restore(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        signer = Signer(world.authority, NOW)
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement(lost=self.noticed_here(witnesses))))

        def earlier(lines: Lines) -> None:
            for line in lines[1:5]:
                line["time_ms"] -= 3_600_000

        found = problems(examined(earlier, olga=signer.key.fingerprint))["receipts"]

        assert "olga signed that the journal of heart-1 ended with record" in found[0]

    def test_an_outcome_that_a_record_of_the_journal_has_to_include_is_not_explained(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        witnesses.last.clear()
        witnesses.keep("zurich", witnesses.receipt("zurich", received={"outcome": "9" * 64}))
        signer = Signer(world.authority, NOW)
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement(lost=self.noticed_here(witnesses))))

        (problem,) = problems(examined())["receipts"]

        assert "the journal lacks that outcome" in problem

    def test_records_in_place_of_others_that_are_dated_before_the_receipts_are_told(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        witnesses.author.do(NameRestore(RESTORED, Signer(world.authority, NOW).acknowledgement()))

        def earlier(lines: Lines) -> None:
            for line in lines[1:-2]:
                line["time_ms"] -= 3_600_000

        report = examined(earlier)

        (line,) = [each for each in report.not_proved if "went missing by a restore" in each]
        assert "times were changed, or the clock of the aggregator was set back" in line

    def test_a_restore_whose_record_has_a_smaller_number_than_one_before_it_explains_too(
        self, examined: Examined, witnesses: Witnesses, world: World
    ) -> None:
        """The second restore took the record of the first away."""
        gone = witnesses.receipt("zurich", received={"journal": head(99)}, restored=head(9, "e"))
        witnesses.keep("zurich", gone)
        signer, here = Signer(world.authority, NOW), self.noticed_here(witnesses)
        witnesses.author.do(NameRestore(RESTORED, signer.acknowledgement(lost=here)))

        assert problems(examined()) == {}
