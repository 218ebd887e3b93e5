"""The exported journal of a run with masked sums before an auditor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journals import Lines, World, new_world, reseal
from tests.unit.control.sums.masked_journal import SITES, MaskedAuthor

from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.values.canonical import canonical_json


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def author(world: World) -> MaskedAuthor:
    author = MaskedAuthor(world)
    author.whole_run()
    return author


@pytest.fixture
def genuine(author: MaskedAuthor, tmp_path: Path) -> Path:
    return author.export(tmp_path / "journal.jsonl")


@pytest.fixture
def forged(author: MaskedAuthor, world: World, genuine: Path) -> Callable[..., AuditReport]:
    """Examine the journal after a forger was at it who holds the aggregator's key."""

    def examine(change: Callable[[Lines], object]) -> AuditReport:
        lines = [json.loads(line) for line in genuine.read_text().splitlines()]
        change(lines)
        reseal(lines, author.aggregator)
        genuine.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        return verify(genuine, world.authority.certificate)

    return examine


def find(lines: Lines, kind: str, **values: Any) -> dict[str, Any]:
    """Body of the first event of a kind with these values."""
    bodies = (line["body"] for line in lines if line.get("kind") == kind)
    return next(body for body in bodies if all(body[key] == value for key, value in values.items()))


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}


def test_a_genuine_journal_passes_every_check(genuine: Path, world: World) -> None:
    report = verify(genuine, world.authority.certificate)

    assert problems(report) == {}
    assert "sums" in report.checks
    assert [(found.members, found.attempt, found.num_examples) for found in report.sums] == [(SITES, 2, 800)]


def test_the_account_of_a_site_says_what_is_masked(genuine: Path, world: World) -> None:
    account = verify(genuine, world.authority.certificate).sites["b"]

    assert [(sent.task, sent.masked) for sent in account.disclosed] == [("train", True), ("evaluate", False)]
    assert (account.attempts, len(account.sums)) == (2, 1)


def test_the_examples_of_a_masked_exchange_are_those_of_its_sum(genuine: Path, world: World) -> None:
    train, evaluate = verify(genuine, world.authority.certificate).exchanges

    assert (train["num_examples"], train["masked"]) == (800, True)
    assert evaluate["num_examples"] == 20


def test_a_metric_in_the_open_is_counted_again_beside_masked_ones(
    forged: Callable[..., AuditReport],
) -> None:
    def better(lines: Lines) -> None:
        find(lines, "RoundCommitted", round_number=1)["metrics"] = {"loss": 0.1}

    assert "loss is 0.5 by the accepted results" in problems(forged(better))["results"][0]


def test_a_sum_of_another_vector_is_noticed(forged: Callable[..., AuditReport]) -> None:
    def other(lines: Lines) -> None:
        find(lines, "SumOpened")["masked"]["b"] = "7" * 64

    assert "of vector 777777777777 of b, and by what b signed it is" in problems(forged(other))["sums"][0]


def test_a_round_that_is_committed_without_its_sum_is_noticed(forged: Callable[..., AuditReport]) -> None:
    def without(lines: Lines) -> None:
        lines[:] = [line for line in lines if line.get("kind") != "UpdatesAggregated"]

    assert "round 1 is committed without the sum of 'train'" in problems(forged(without))["sums"][0]


def test_a_ready_of_another_party_is_noticed(forged: Callable[..., AuditReport]) -> None:
    def other(lines: Lines) -> None:
        find(lines, "SiteReady", site="b")["statement"] = find(lines, "SiteReady", site="c")["statement"]

    assert "the READY of b is signed with site 'c'" in problems(forged(other))["sums"][0]


def test_an_altered_ready_is_one_finding_and_what_follows_from_it_none(
    forged: Callable[..., AuditReport],
) -> None:
    def other(lines: Lines) -> None:
        find(lines, "SiteReady", site="b")["statement"]["body"]["public"] = "7" * 64

    report = forged(other)

    assert len(problems(report)["sums"]) == 1
    assert "the READY of b" in problems(report)["sums"][0]
    assert "the check of sums ends at record" in "".join(report.notes)


def test_a_history_that_cannot_be_followed_says_so_and_blames_nothing_after(
    forged: Callable[..., AuditReport],
) -> None:
    def other(lines: Lines) -> None:
        find(lines, "ExchangeOpened", task="train")["cohort"] = ["a", "b"]

    report = forged(other)

    assert {problem.split(":")[0] for problem in problems(report)["history"]} == {"record 10"}
    assert not any("does not have masked" in text for text in problems(report).get("sums", []))
    assert "was held against signatures and the chain only" in "".join(report.notes)
    assert report.phase == "running"


def test_the_numbers_of_sites_that_cut_are_with_the_exchange(genuine: Path, world: World) -> None:
    train = verify(genuine, world.authority.certificate).exchanges[0]

    assert train["sums"]["all"] == {"sites": 4, "num_examples": 800, "clipped": None, "out_of_range": None}


def test_the_keys_of_readys_are_held_against_the_auditors_list(
    genuine: Path, world: World, author: MaskedAuthor
) -> None:
    keys = {site: (author.key(site).fingerprint,) for site in SITES}

    report = verify(genuine, world.authority.certificate, keys | {"b": ("0" * 64,)})

    assert "b signed with key" in problems(report)["signers"][0]
