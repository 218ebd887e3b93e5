"""An exported journal, genuine or forged by the aggregator, before an auditor with the sites' receipts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journals import (
    MODEL,
    NOW_MS,
    RUN,
    SITES,
    Author,
    Lines,
    World,
    new_world,
    reseal,
)
from tests.receipts import head
from tests.witnesses import Witnesses, problems

from hanse.control.audit import verify
from hanse.control.receipts import check_receipts
from hanse.control.report import WITHOUT_RECEIPTS, AuditReport
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt
from hanse.core.run.requests.commands import OpenExchange
from hanse.core.values.canonical import canonical_json
from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import ConfigError, StorageError
from hanse.pki.receipts import sign_receipt


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


def test_sites_of_which_not_all_receipts_are_given_are_named_as_not_proved(examined: Examined) -> None:
    report = examined(sites=("budapest",))

    assert problems(report) == {}
    assert "not all of whose receipts are given: zurich (0 receipts and 2 outcomes)" in report.not_proved[0]


def test_a_site_all_of_whose_outcomes_are_denied_is_named_too(examined: Examined) -> None:
    def silenced(lines: Lines) -> None:
        del lines[1 + [line.get("kind") for line in lines].index("RunStarted") : -1]

    report = examined(silenced, sites=("budapest",))

    assert any("zurich (0 receipts and 0 outcomes)" in said for said in report.not_proved)


def test_what_comes_after_the_last_receipt_is_named_as_not_proved(examined: Examined) -> None:
    report = examined()

    assert report.not_proved[0].startswith("that the end is as the aggregator wrote it: no receipt names a ")


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


@pytest.mark.parametrize("name", [f"{RUN}.jsonl", f"{RUN}.jsonl.old", "another-1.jsonl"])
def test_a_pipe_in_a_folder_of_receipts_is_refused_and_not_waited_for(
    examined: Examined, witnesses: Witnesses, name: str
) -> None:
    path = witnesses.site("zurich") / "receipts" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    with pytest.raises(StorageError, match=f"{name} is not a file"):
        examined()
