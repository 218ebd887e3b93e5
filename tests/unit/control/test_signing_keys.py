"""A forger who holds the whole aggregator, and an auditor who looks at the signing keys.

The forger has the authority's key, the aggregator's and the genuine journal, and no signing key of a site: a
second certificate for a site, consent, metrics and updates in its name, the chain and the seal are no effort.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import named
from tests.journals import LAST_MODEL, MODEL, SITES, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.control.report import WITHOUT_RECEIPTS, AuditReport
from hanse.control.signers import Signers
from hanse.core.run.lifecycle import Finish, Invite, Leave
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.values.canonical import canonical_json
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import Statement
from hanse.pki.key_words import words_of
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer, TaskOutcome, UpdateFile

FORGED_UPDATE = "f" * 64
Told = Mapping[tuple[str, int], Statement]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def author(world: World) -> Author:
    author = Author(world)
    author.whole_run()
    return author


@pytest.fixture(scope="module")
def signers(author: Author) -> Signers:
    """What an auditor has from the sites themselves."""
    return {site: (author.key(site).fingerprint,) for site in SITES}


def statements(author: Author) -> Told:
    """Statements in a genuine journal, by site and exchange; 0 for the answer to the plan."""
    return {
        (record.body["site"], record.body.get("exchange", 0)): record.body["statement"]
        for record in author.journal.read("heart-1")
        if record.body.get("statement")
    }


class Forger(Author):
    """Writes another journal of the run, in which some sites are played with keys of the forger's.

    Args:
        world: The federation, whose authority the forger holds.
        genuine: Whose journal it is that is forged.
        played: The sites whose statements the forger makes; those of the others are copied.
        of_before: Whether it makes them as before 0.2.
    """

    def __init__(
        self, world: World, genuine: Author, played: tuple[str, ...], *, of_before: bool = False
    ) -> None:
        super().__init__(world, of_before=of_before)
        self.aggregator = genuine.aggregator
        self._told = {key: told for key, told in statements(genuine).items() if key[0] not in played}
        self._genuine = genuine

    def key(self, site: str) -> SigningKey:
        copied = any(told == site for told, _ in self._told)
        return self._genuine.key(site) if copied else super().key(site)

    def statement(self, site: str, body: PlanAnswer | TaskOutcome) -> Statement:
        number = body.exchange if isinstance(body, TaskOutcome) else 0
        told = self._told.get((site, number))
        return super().statement(site, body) if told is None else told  # type: ignore[return-value]

    def forged_run(self) -> None:
        """The run with another result of zurich."""
        for site in SITES:
            self.accept_plan(site)
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))
        self.answer_task("budapest", update=UpdateFile(digest=UPDATE, size=120))
        self.answer_task("zurich", update=UpdateFile(digest=FORGED_UPDATE, size=120), metrics={"loss": 0.001})
        self.do(RecordAggregate(1, SITES, 10, "e" * 64))
        self.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        for site in SITES:
            self.answer_task(site)
        self.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.do(Finish())


@pytest.fixture
def audited(world: World, tmp_path: Path) -> Callable[..., AuditReport]:
    """Examine the journal of an author, changed and sealed again, with the authority's own certificate."""

    def examine(
        author: Author, signers: Signers | None = None, change: Callable[[Lines], object] | None = None
    ) -> AuditReport:
        path = author.export(tmp_path / "journal.jsonl")
        if change is not None:
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            change(lines)
            reseal(lines, author.aggregator)
            path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        return verify(path, world.authority.certificate, signers)

    return examine


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}


def bodies(lines: Lines, kind: str, site: str | None = None) -> list[dict[str, Any]]:
    found = (line["body"] for line in lines if line.get("kind") == kind)
    return [body for body in found if site in (None, body.get("site"))]


# ------------------------------------------------------------------ genuine


def test_a_genuine_journal_holds_against_the_sites_own_keys(
    author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author, signers)

    assert problems(report) == {}
    assert report.not_proved == [WITHOUT_RECEIPTS]
    assert report.checks["signers"].claim.startswith("each statement of a listed site was signed")


def test_words_and_fingerprints_hold_alike(author: Author, audited: Callable[..., AuditReport]) -> None:
    report = audited(author, {site: (author.key(site).fingerprint[:33],) for site in SITES})

    assert problems(report) == {}


def test_without_the_sites_keys_the_report_says_what_is_not_proved(
    author: Author, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author)

    assert problems(report) == {}
    assert "signers" not in report.checks
    _, said = report.not_proved
    assert said.startswith("that the signing keys are those of the sites")
    assert "--signers FILE" in said


def test_a_site_that_the_list_lacks_is_named_as_not_proved(
    author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author, {"budapest": signers["budapest"], "madrid": ("0" * 64,)})

    assert problems(report) == {}
    assert report.not_proved == [
        WITHOUT_RECEIPTS,
        "that the signing keys of these are their own: zurich; the list of signers does not have them",
    ]
    assert report.notes == [
        "of the list of signers, these have signed nothing in this journal: madrid",
    ]


def test_one_key_for_two_parties_of_the_list_is_noted(
    author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author, {**signers, "budapest": signers["budapest"] + signers["zurich"]})

    assert problems(report) == {}
    assert report.notes == [
        "the list of signers has the same key for budapest and zurich: ask each for its own"
    ]


def test_a_key_that_the_list_does_not_have_may_be_one_of_before(
    author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author, {**signers, "zurich": ("0" * 64,)})

    assert "the list needs a line for the key of then too" in problems(report)["signers"][0]


def test_the_account_of_a_site_says_with_which_key_it_signed(
    author: Author, audited: Callable[..., AuditReport]
) -> None:
    report = audited(author)

    assert {name: part.signed_with for name, part in report.sites.items()} == {
        site: [author.key(site).fingerprint] for site in SITES
    }


# ------------------------------------------------------- who holds the aggregator


def test_a_journal_in_which_all_sites_are_played_says_what_is_not_proved(
    world: World, author: Author, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, SITES)
    forger.forged_run()

    report = audited(forger)

    # Of one piece, with certificates of the authority: nothing in it shows the forgery.
    assert problems(report) == {}
    assert any("that the signing keys are those of the sites" in said for said in report.not_proved)


def test_a_journal_in_which_all_sites_are_played_fails_against_the_sites_own_keys_and_names_them(
    world: World, author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, SITES)
    forger.forged_run()

    found = problems(audited(forger, signers))

    assert found.keys() == {"signers"}
    for site, problem in zip(SITES, found["signers"], strict=True):
        assert f"{site} signed with key {forger.key(site).fingerprint}" in problem
        assert author.key(site).fingerprint in problem


def test_one_played_site_contradicts_the_genuine_statements_of_another_without_any_list(
    world: World, author: Author, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, ("zurich",))
    forger.forged_run()

    found = problems(audited(forger))

    assert found.keys() == {"roster"}
    for problem in found["roster"]:
        assert "budapest saw roster" in problem
        assert "the signing key of at least one site is another in the two" in problem


def test_one_played_site_is_named_by_the_list(
    world: World, author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, ("zurich",))
    forger.forged_run()

    (problem,) = problems(audited(forger, signers))["signers"]

    assert f"zurich signed with key {forger.key('zurich').fingerprint}" in problem


def test_a_roster_that_the_answers_do_not_give_is_noticed(
    world: World, author: Author, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, ("zurich",))
    forger.forged_run()
    roster = author.journaled_run.run.roster.digest

    def agree_with_budapest(lines: Lines) -> None:
        """State the genuine roster, as budapest saw it."""
        for body in (*bodies(lines, "RunStarted"), *bodies(lines, "ExchangeOpened")):
            body["roster"] = roster

    found = problems(audited(forger, change=agree_with_budapest))

    assert found.keys() == {"roster"}
    assert "RunStarted states roster" in found["roster"][0]
    assert "and the answers of the sites give" in found["roster"][0]


def test_a_second_consent_in_the_name_of_a_site_is_noticed(
    world: World, author: Author, audited: Callable[..., AuditReport]
) -> None:
    """The genuine consent stays, and another one with the forger's key follows."""
    forger = Forger(world, author, ())
    for site in SITES:
        forger.accept_plan(site)
    forger.do(Leave("zurich", "removed"))
    forger.do(Invite("zurich"))
    forger._told = {key: told for key, told in forger._told.items() if key[0] != "zurich"}
    forger.accept_plan("zurich")
    forger.do(OpenRound(0))
    forger.do(Commit(0, MODEL))
    forger.do(OpenRound(1))
    forger.do(OpenExchange(1, 0, "train", MODEL))
    forger.answer_task("budapest", update=UpdateFile(digest=UPDATE, size=120))

    found = problems(audited(forger))

    assert "budapest saw roster" in found["roster"][-1]


@pytest.mark.parametrize("kind", ["RunStarted", "ExchangeOpened"])
def test_a_roster_that_is_left_out_is_noticed(
    author: Author, audited: Callable[..., AuditReport], kind: str
) -> None:
    def leave_out(lines: Lines) -> None:
        for body in bodies(lines, kind):
            body["roster"] = None

    found = problems(audited(author, change=leave_out))

    assert f"{kind} states roster none" in found["roster"][0]


def test_a_played_site_that_signs_as_before_is_noticed(
    world: World, author: Author, audited: Callable[..., AuditReport]
) -> None:
    """Without a signing key, as if zurich had agreed before 0.2: then no exchange needs a roster."""
    forger = Forger(world, author, ("zurich",), of_before=True)
    forger.forged_run()

    found = problems(audited(forger))

    assert "zurich signed without its signing key, as before 0.2" in found["roster"][0]
    assert any("budapest saw roster" in problem for problem in found["roster"])


def test_a_whole_journal_as_before_says_what_is_not_proved_and_fails_against_the_list(
    world: World, author: Author, signers: Signers, audited: Callable[..., AuditReport]
) -> None:
    forger = Forger(world, author, SITES, of_before=True)
    forger.forged_run()

    alone, held = audited(forger), audited(forger, signers)

    assert problems(alone) == {}
    assert any(
        "that the sites themselves made the statements of before 0.2 (budapest and zurich)" in said
        for said in alone.not_proved
    )
    assert not any("--receipts" in said or "--signers" in said for said in alone.not_proved)
    assert [problem.split(": ", 1)[1] for problem in problems(held)["signers"]] == [
        f"a statement of {site} was made before 0.2 and not signed with its signing key" for site in SITES
    ]


def test_a_result_with_another_key_than_that_of_the_consent_is_noticed(
    author: Author, audited: Callable[..., AuditReport]
) -> None:
    stranger = SigningKey.create()

    def play(lines: Lines) -> None:
        body = bodies(lines, "UpdateAccepted", "zurich")[0]
        told = body["statement"]["body"] | {"num_examples": 99}
        body["num_examples"] = 99
        body["statement"] = stranger.sign(TASK_RESULT, told).model_dump(mode="json")

    found = problems(audited(author, change=play))

    assert f"zurich was signed with key {stranger.fingerprint[:16]}" in found["statements"][0]


@pytest.mark.parametrize("signer", [None, "1" * 64])
def test_a_consent_whose_record_names_another_signer_is_noticed(
    author: Author, audited: Callable[..., AuditReport], signer: str | None
) -> None:
    def rename(lines: Lines) -> None:
        bodies(lines, "PlanAnswered", "zurich")[0]["signer"] = signer

    assert "zurich" in problems(audited(author, change=rename))["statements"][0]


def test_a_consent_that_covers_another_key_than_it_is_signed_with_is_noticed(
    author: Author, audited: Callable[..., AuditReport]
) -> None:
    key = author.key("zurich")

    def cover(lines: Lines) -> None:
        body = bodies(lines, "PlanAnswered", "zurich")[0]
        told = body["statement"]["body"] | {"signer": "1" * 64}
        body["statement"] = key.sign(PLAN_ANSWER, told).model_dump(mode="json")

    found = problems(audited(author, change=cover))

    assert "zurich signed signer" in found["statements"][0]


# ------------------------------------------------------------ sites that refuse


def test_a_site_that_did_not_confirm_the_roster_is_named_as_not_proved(
    world: World, audited: Callable[..., AuditReport]
) -> None:
    author = Author(world)
    for site in SITES:
        author.accept_plan(site)
    author.do(OpenRound(0))
    author.do(Commit(0, MODEL))
    author.do(OpenRound(1))
    author.do(OpenExchange(1, 0, "train", MODEL))
    author.answer_task("zurich", outcome="failed", reason="the roster has another key", roster=None)

    report = audited(author)

    assert problems(report) == {}
    assert any("zurich in exchange 1 (record 9)" in said for said in report.not_proved)


def test_an_upgraded_run_holds_from_the_first_consent_with_a_key_on(
    world: World, audited: Callable[..., AuditReport]
) -> None:
    author = Author(world, of_before=True)
    for site in SITES:
        author.accept_plan(site)
    author.do(OpenRound(0))
    author.do(Commit(0, MODEL))
    author.do(OpenRound(1))
    author.do(OpenExchange(1, 0, "train", MODEL))
    author.answer_task("zurich", update=UpdateFile(digest=UPDATE, size=120))
    author.of_before = False
    for site in SITES:
        author.accept_plan(site)
    author.answer_task("budapest", update=UpdateFile(digest=UPDATE, size=120))
    author.do(RecordAggregate(1, SITES, 10, "e" * 64))
    author.do(OpenExchange(1, 1, "evaluate", MODEL))
    for site in SITES:
        author.answer_task(site)
    author.do(Commit(1, MODEL, {"loss": 0.5}))
    author.do(Finish())

    report = audited(author)

    assert problems(report) == {}
    assert author.journaled_run.run.roster.keys() == set(SITES)


def test_the_report_has_the_keys_of_which_words_are_made(
    author: Author, audited: Callable[..., AuditReport]
) -> None:
    value = json.loads(json.dumps(audited(author).as_json()))

    assert value["not_proved"]
    for site in SITES:
        assert [words_of(key) for key in value["sites"][site]["signed_with"]] == [author.key(site).words]
