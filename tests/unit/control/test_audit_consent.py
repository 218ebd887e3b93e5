"""Consent of the sites that a journal says were asked: a site that leaves within a round, and strangers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.journals import MANIFEST, MODEL, SITES, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.core.plan.manifest import Manifest
from hanse.core.run.lifecycle import AnswerPlan, Leave
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.values.canonical import canonical_json
from hanse.wire.messages.sites import UpdateFile

OWN = {"workflow": "heart:workflow", "rounds": 9, "cohort": {"quorum": 0.5}}
SETTINGS = MANIFEST.plan.model_dump(mode="json") | OWN
GONE = [Leave("zurich", "removed from the federation"), AnswerPlan("zurich", accepted=False)]

Examined = Callable[..., dict[str, list[str]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def author(world: World, monkeypatch: pytest.MonkeyPatch) -> Author:
    """A run whose first round is open; both sites have answered its first exchange."""
    manifest = Manifest.model_validate(MANIFEST.model_dump(mode="json") | {"plan": SETTINGS})
    monkeypatch.setattr("tests.journals.MANIFEST", manifest)
    author = Author(world)
    for site in SITES:
        author.accept_plan(site)
    for command in (OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
        author.do(command)
    for site in SITES:
        author.answer_task(site, update=UpdateFile(digest=UPDATE, size=120))
    return author


@pytest.fixture
def problems(author: Author, world: World, tmp_path: Path) -> Examined:
    """Problems of each check of the journal, once the aggregator has forged its lines."""

    def examine(forge: Callable[[Lines], object] = lambda lines: None) -> dict[str, list[str]]:
        path = author.export(tmp_path / "journal.jsonl")
        lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
        forge(lines)
        reseal(lines, author.aggregator)
        path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        return {check.name: check.problems for check in verify(path, world.authority.certificate).failed}

    return examine


def last(lines: Lines, kind: str) -> int:
    """Where the last record of a kind stands."""
    return max(number for number, line in enumerate(lines) if line.get("kind") == kind)


def leave(author: Author, gone: Leave | AnswerPlan) -> None:
    if isinstance(gone, Leave):
        author.do(gone)
    else:
        author.accept_plan(gone.site, accepted=False)


@pytest.mark.parametrize("gone", GONE, ids=["removed", "withdrew its consent"])
@pytest.mark.parametrize("named", [None, ("budapest", "zurich")], ids=["the cohort", "by name"])
def test_a_site_that_leaves_between_two_exchanges_of_a_round_is_no_forgery(
    author: Author, problems: Examined, gone: Leave | AnswerPlan, named: tuple[str, ...] | None
) -> None:
    leave(author, gone)
    author.do(OpenExchange(1, 1, "evaluate", MODEL, sites=named))
    assert "zurich" in author.journaled_run.run.exchanges[2].members  # it counts to the quorum
    author.answer_task("budapest")
    author.do(Commit(1, MODEL))

    assert problems() == {}


def test_what_was_taken_from_a_site_that_had_left_is_noticed(author: Author, problems: Examined) -> None:
    author.do(OpenExchange(1, 1, "evaluate", MODEL))
    author.answer_task("zurich")
    leave(author, GONE[0])
    assert problems() == {}

    found = problems(
        lambda lines: lines.insert(last(lines, "UpdateAccepted"), lines.pop(last(lines, "SiteLeft")))
    )

    assert (
        "task evaluate at zurich was taken from a site that had not accepted the plan" in found["consent"][0]
    )


def test_a_site_that_left_before_the_round_is_not_of_it(author: Author, problems: Examined) -> None:
    author.do(OpenExchange(1, 1, "evaluate", MODEL))
    for site in SITES:
        author.answer_task(site)
    author.do(Commit(1, MODEL))
    leave(author, GONE[0])
    author.do(OpenRound(2))
    author.do(OpenExchange(2, 0, "train", MODEL))

    found = problems(
        lambda lines: lines[last(lines, "ExchangeOpened")]["body"].update(cohort=["budapest", "zurich"])
    )

    assert len(found["consent"]) == 1
    assert found["consent"][0].endswith("train was asked of zurich without consent to the plan")


def test_a_round_that_is_opened_with_a_stranger_is_noticed(author: Author, problems: Examined) -> None:
    author.do(OpenExchange(1, 1, "evaluate", MODEL))

    def forge(lines: Lines) -> None:
        for kind in ("RoundOpened", "ExchangeOpened"):
            lines[last(lines, kind)]["body"]["cohort"] = ["budapest", "mallory", "zurich"]

    found = problems(forge)

    assert [problem.partition(": ")[2] for problem in found["consent"]] == [
        "round 1 was asked of mallory without consent to the plan"
    ]
