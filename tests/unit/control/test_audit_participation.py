"""What an auditor learns of who took part, and what a forger cannot hide of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journals import MANIFEST, MODEL, NOW_MS, SITES, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.plan.manifest import Manifest
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.suspension import Reinstate
from hanse.core.run.tasks import RefuseResult
from hanse.core.run.timing import Tick
from hanse.core.values.canonical import canonical_json
from hanse.wire.messages.sites import UpdateFile

RULES = {"quorum": 0.5, "tolerated_missing": 0.2, "set_aside_after": 2, "rest": "9 rounds"}
OWN = {"workflow": "heart:workflow", "rounds": 9, "cohort": RULES}
SETTINGS = MANIFEST.plan.model_dump(mode="json") | OWN


def ask(author: Author, number: int, **zurich: Any) -> int:
    """Begin a round; what zurich says, if it is to say something; and have budapest answer."""
    author.do(OpenRound(number))
    author.do(OpenExchange(number, 0, "train", MODEL))
    if zurich:
        author.answer_task("zurich", **zurich)
    author.answer_task("budapest", update=UpdateFile(digest=UPDATE, size=120))
    return author.journaled_run.run.last_exchange


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def author(world: World) -> Author:
    """A run in which zurich is late in round 2, fails in round 3, is suspended, and reinstated."""
    with pytest.MonkeyPatch.context() as patch:
        manifest = Manifest.model_validate(MANIFEST.model_dump(mode="json") | {"plan": SETTINGS})
        patch.setattr("tests.journals.MANIFEST", manifest)
        author = Author(world)
        for site in SITES:
            author.accept_plan(site)
        for command in (OpenRound(0), Commit(0, MODEL)):
            author.do(command)
        ask(author, 1, update=UpdateFile(digest=UPDATE, size=120))
        author.do(Commit(1, MODEL))
        late = ask(author, 2)
        author.journaled_run.execute(Tick(), NOW_MS + 400_000)
        author.do(RefuseResult(late, "zurich", "late", "it is over", 7))
        author.do(Commit(2, MODEL))
        ask(author, 3, outcome="failed", reason="out of memory")
        author.do(Commit(3, MODEL))
        ask(author, 4)
        author.do(Commit(4, MODEL))
        author.do(Reinstate("zurich", "ada"))
    return author


@pytest.fixture
def genuine(author: Author, tmp_path: Path) -> Path:
    return author.export(tmp_path / "journal.jsonl")


@pytest.fixture
def forged(author: Author, world: World, genuine: Path) -> Callable[..., list[str]]:
    """What is wrong with the history once the aggregator has changed an event of a kind."""

    def examine(kind: str, number: int, change: dict[str, Any]) -> list[str]:
        lines: Lines = [json.loads(line) for line in genuine.read_text().splitlines()]
        [line["body"] for line in lines if line.get("kind") == kind][number].update(change)
        reseal(lines, author.aggregator)
        genuine.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        return verify(genuine, world.authority.certificate).checks["history"].problems

    return examine


def report(genuine: Path, world: World) -> AuditReport:
    found = verify(genuine, world.authority.certificate)
    assert [check.problems for check in found.failed] == []
    return found


def test_the_report_says_of_each_exchange_who_took_part(genuine: Path, world: World) -> None:
    exchanges = report(genuine, world).exchanges

    assert [(told["round"], told["answered"]) for told in exchanges] == [
        (1, ["budapest", "zurich"]),
        (2, ["budapest"]),
        (3, ["budapest"]),
        (4, ["budapest"]),
    ]
    assert [(told["idle"], told["late"]) for told in exchanges[1:3]] == [
        (["zurich"], {"zurich": 7}),
        ([], {}),
    ]
    assert exchanges[2]["failed"] == {"zurich": "out of memory"}
    assert exchanges[3]["suspended"] == ["zurich"]


def test_the_report_says_how_much_data_is_missing(genuine: Path, world: World) -> None:
    exchanges = report(genuine, world).exchanges

    assert [(t["num_examples"], t["missing_examples"], t["too_little"]) for t in exchanges] == [
        (10, 0, False),
        (5, 5, True),
        (5, 7, True),
        (5, 7, True),
    ]


def test_the_account_of_a_site_says_what_it_missed_and_when_it_was_set_aside(
    genuine: Path, world: World
) -> None:
    zurich = report(genuine, world).sites["zurich"]

    assert [(missed.round_number, missed.how) for missed in zurich.missed] == [
        (2, "it had fallen silent"),
        (2, "it answered after the close; its 7 examples are not in it"),
    ]
    assert [spared.told for spared in zurich.sparing] == [
        "suspended: it failed in 2 rounds in a row, at last in round 3, train: out of memory",
        "reinstated by ada",
    ]


def test_the_figures_of_a_journal_without_them_are_counted(
    genuine: Path, world: World, author: Author
) -> None:
    lines: Lines = [json.loads(line) for line in genuine.read_text().splitlines()]
    for line in lines:
        if line.get("kind") == "ExchangeClosed":
            for name in ("idle", "suspended", "data"):
                del line["body"][name]
    reseal(lines, author.aggregator)
    genuine.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))

    assert [told["missing_examples"] for told in report(genuine, world).exchanges] == [0, 5, 7, 7]


@pytest.mark.parametrize(
    ("kind", "number", "change", "complaint"),
    [
        ("ExchangeClosed", 1, {"idle": []}, "ExchangeClosed does not say who answered"),
        (
            "ExchangeClosed",
            1,
            {"data": {"answered": 5, "missing": 0, "unknown": [], "tolerated": 0.2}},
            "ExchangeClosed does not say who answered",
        ),
        ("ExchangeClosed", 3, {"suspended": []}, "ExchangeClosed does not say who answered"),
        ("RoundOpened", 4, {"cohort": ["budapest", "zurich"]}, "the round asks zurich, suspended before"),
        ("RoundOpened", 2, {"suspended": ["zurich"]}, "the round goes without zurich, never suspended"),
        ("SiteSuspended", 0, {"site": "budapest"}, "budapest had not failed in 2 rounds in a row"),
        ("SiteReinstated", 0, {"site": "budapest"}, "budapest was not suspended"),
    ],
)
def test_what_is_not_told_as_it_was_is_noticed(
    forged: Callable[..., list[str]], kind: str, number: int, change: dict[str, Any], complaint: str
) -> None:
    assert any(complaint in problem for problem in forged(kind, number, change))
