"""An exported journal, genuine and forged in every way, before an auditor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journals import MODEL, NOW_MS, RUN, SITES, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.control.report import MOST_PROBLEMS, AuditReport
from hanse.core.plan.manifest import Manifest
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.canonical import canonical_json
from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import StorageError, TamperedError
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign
from hanse.wire.messages.sites import TASK_RESULT, TASK_RESULT_1, TASK_RESULT_2, UpdateFile


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def author(world: World) -> Author:
    author = Author(world)
    author.whole_run()
    return author


@pytest.fixture
def genuine(author: Author, tmp_path: Path) -> Path:
    return author.export(tmp_path / "journal.jsonl")


@pytest.fixture
def forged(author: Author, world: World, genuine: Path) -> Callable[..., AuditReport]:
    """Examine the journal after a forger was at it.

    What the forger may do without any key is done to the lines as they stand; `resealed` is a forger who
    holds the aggregator's key, and so makes the chain and the seal anew.
    """

    def examine(change: Callable[[Lines], object], *, resealed: Credentials | None = None) -> AuditReport:
        lines = [json.loads(line) for line in genuine.read_text().splitlines()]
        change(lines)
        if resealed is not None:
            reseal(lines, resealed)
        genuine.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
        return verify(genuine, world.authority.certificate)

    return examine


def find(lines: Lines, kind: str, site: str | None = None) -> dict[str, Any]:
    """The body of the first event of a kind, of one site where it is named."""
    return next(
        line["body"]
        for line in lines
        if line.get("kind") == kind and site in (None, line["body"].get("site"))
    )


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}


def test_a_genuine_journal_passes_every_check(genuine: Path, world: World) -> None:
    report = verify(genuine, world.authority.certificate)

    assert problems(report) == {}
    assert (report.phase, report.rounds, report.records) == ("finished", 1, 18)
    assert report.authority == world.authority.fingerprint
    assert report.sealed_by == "hanse://north/aggregator/hub"


def test_the_account_says_who_agreed_and_what_left_each_site(genuine: Path, world: World) -> None:
    report = verify(genuine, world.authority.certificate)

    budapest, zurich = report.sites["budapest"], report.sites["zurich"]
    assert [answer.accepted for answer in budapest.answers] == [True]
    assert [(d.task, d.metrics, d.update, d.update_bytes) for d in budapest.disclosed] == [
        ("train", ("loss",), UPDATE, 120),
        ("evaluate", ("loss",), None, 0),
    ]
    assert [(f.task, f.reason) for f in zurich.failed] == [("evaluate", "out of memory")]


def test_without_the_authority_only_consistency_is_proved(genuine: Path) -> None:
    report = verify(genuine)

    assert problems(report) == {}
    assert not report.authority_given


def test_the_report_can_be_written_as_json(genuine: Path) -> None:
    value = json.loads(json.dumps(verify(genuine).as_json()))

    assert value["verified"] is True
    assert value["checks"]["chain"]["holds"] is True
    assert value["sites"]["zurich"]["disclosed"][0]["update"] == UPDATE


# ------------------------------------------------- by somebody who has no key


@pytest.mark.parametrize("number", range(1, 19))
def test_a_dropped_record_is_noticed(forged: Callable[..., AuditReport], number: int) -> None:
    report = forged(lambda lines: lines.pop(number))

    assert problems(report).keys() & {"chain", "seal"}


@pytest.mark.parametrize("number", range(1, 18))
def test_swapped_records_are_noticed(forged: Callable[..., AuditReport], number: int) -> None:
    def swap(lines: Lines) -> None:
        lines[number], lines[number + 1] = lines[number + 1], lines[number]

    assert "chain" in problems(forged(swap))


@pytest.mark.parametrize("number", range(1, 19))
def test_an_edited_record_is_noticed(forged: Callable[..., AuditReport], number: int) -> None:
    report = forged(lambda lines: lines[number].update(time_ms=lines[number]["time_ms"] + 1))

    (problem,) = problems(report)["chain"]
    assert f"record {number} of {RUN}" in problem


def test_a_repeated_record_is_noticed(forged: Callable[..., AuditReport]) -> None:
    assert "chain" in problems(forged(lambda lines: lines.insert(5, lines[5])))


def test_records_cut_off_before_the_seal_are_noticed(forged: Callable[..., AuditReport]) -> None:
    report = forged(lambda lines: lines.__delitem__(slice(10, -1)))

    assert problems(report).keys() == {"seal"}


def test_a_missing_seal_is_noticed(forged: Callable[..., AuditReport]) -> None:
    assert problems(forged(lambda lines: lines.pop()))["seal"] == [
        "no seal follows record 18, the last that was read"
    ]


def test_what_follows_the_seal_is_noticed(forged: Callable[..., AuditReport]) -> None:
    assert "seal" in problems(forged(lambda lines: lines.append(lines[3])))


def test_an_edited_seal_is_noticed(forged: Callable[..., AuditReport]) -> None:
    report = forged(lambda lines: lines[-1]["seal"].update(sealed_ms=NOW_MS + 1))

    assert "was altered" in problems(report)["seal"][0]


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_a_file_cut_off_in_a_line_is_noticed(genuine: Path, world: World, size: int) -> None:
    genuine.write_bytes(genuine.read_bytes()[:-size])

    report = verify(genuine, world.authority.certificate)

    assert "cut off" in problems(report)["chain"][0]
    assert "seal" in problems(report)


@pytest.mark.parametrize(
    "line", [b"[]\n", b"{}\n", b"nothing\n", b'{"a":1,"a":2}\n', b'{"a": 1}\n', b"[" * 100_000 + b"\n"]
)
def test_a_line_that_is_no_record_is_noticed(genuine: Path, world: World, line: bytes) -> None:
    lines = genuine.read_bytes().splitlines(keepends=True)
    genuine.write_bytes(b"".join([*lines[:4], line, *lines[4:]]))

    assert "chain" in problems(verify(genuine, world.authority.certificate))


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b'{"format":"hanse-journal/2"}\n', b"\xff" * 99])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)

    with pytest.raises(TamperedError, match=r"journal\.jsonl"):
        verify(path)


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        verify(tmp_path / "journal.jsonl")


# ------------------------------------------------- by somebody with a key of another federation


def test_a_journal_of_a_strangers_federation_is_noticed(tmp_path: Path, world: World) -> None:
    forger = Author(new_world(tmp_path))
    forger.whole_run()

    path = forger.export(tmp_path / "journal.jsonl")

    assert problems(verify(path)) == {}
    assert problems(verify(path, world.authority.certificate)).keys() == {"authority", "seal"}


def test_a_seal_by_a_strangers_aggregator_is_noticed(
    forged: Callable[..., AuditReport], tmp_path: Path
) -> None:
    impostor = new_world(tmp_path).party("hub", Role.AGGREGATOR)

    report = forged(lambda lines: None, resealed=impostor)

    assert "another federation's authority" in problems(report)["seal"][0]


def test_a_seal_by_a_site_is_noticed(forged: Callable[..., AuditReport], author: Author) -> None:
    report = forged(lambda lines: None, resealed=author.sites["zurich"])

    assert "which is for the aggregator to do" in problems(report)["seal"][0]


# ------------------------------------------------- by the aggregator itself


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        ("UpdateAccepted", {"num_examples": 500}, "signed num_examples 5, and the journal says 500"),
        ("UpdateAccepted", {"metrics": {"loss": 0.1}}, "signed metrics"),
        ("UpdateAccepted", {"update": "d" * 64}, "signed update"),
        ("UpdateAccepted", {"statement": None}, "budapest signed nothing"),
        ("TaskFailed", {"reason": "gave up"}, "signed reason 'out of memory'"),
        ("TaskFailed", {"log_tail": ""}, "signed log_tail 'killed'"),
        ("PlanAnswered", {"reasons": ["gladly"]}, "signed reasons"),
        ("PlanAnswered", {"statement": None}, "budapest signed nothing"),
    ],
)
def test_a_word_put_into_a_sites_mouth_is_noticed(
    forged: Callable[..., AuditReport], author: Author, kind: str, change: dict[str, Any], complaint: str
) -> None:
    report = forged(lambda lines: find(lines, kind).update(change), resealed=author.aggregator)

    assert complaint in problems(report)["statements"][0]


def test_an_answer_that_was_a_refusal_is_noticed(world: World, tmp_path: Path) -> None:
    author = Author(world)
    author.accept_plan("zurich", accepted=False)
    path = author.export(tmp_path / "journal.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    find(lines, "PlanAnswered").update(accepted=True)
    reseal(lines, author.aggregator)
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))

    report = verify(path, world.authority.certificate)

    assert "zurich signed accepted False, and the journal says True" in problems(report)["statements"][0]


def test_a_statement_of_another_site_is_noticed(forged: Callable[..., AuditReport], author: Author) -> None:
    def swap(lines: Lines) -> None:
        theirs = find(lines, "UpdateAccepted", "zurich")["statement"]
        find(lines, "UpdateAccepted", "budapest")["statement"] = theirs

    report = forged(swap, resealed=author.aggregator)

    key = author.key("zurich").fingerprint[:16]
    assert f"collaborator/budapest was signed with key {key}" in problems(report)["statements"][0]


def test_a_statement_for_another_purpose_is_noticed(
    forged: Callable[..., AuditReport], author: Author
) -> None:
    def misuse(lines: Lines) -> None:
        find(lines, "PlanAnswered", "zurich")["statement"] = find(lines, "UpdateAccepted", "zurich")[
            "statement"
        ]

    report = forged(misuse, resealed=author.aggregator)

    assert "hanse plan answer 2 was altered" in problems(report)["statements"][0]


@pytest.mark.parametrize(
    ("time_ms", "problem"), [(NOW_MS + 2 * 86_400_000, "expired on"), (10**20, "is not a time")]
)
def test_a_record_of_before_that_is_not_dated_in_its_certificates_time_is_noticed(
    world: World, tmp_path: Path, time_ms: int, problem: str
) -> None:
    author = Author(world, of_before=True)
    author.whole_run()
    path = author.export(tmp_path / "journal.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if line.get("kind") == "UpdateAccepted")["time_ms"] = time_ms
    reseal(lines, author.aggregator)
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))

    report = verify(path, world.authority.certificate)

    assert problem in problems(report)["statements"][0]


def test_a_record_from_before_the_one_before_it_is_noticed(
    forged: Callable[..., AuditReport], author: Author
) -> None:
    report = forged(lambda lines: lines[9].update(time_ms=NOW_MS - 1), resealed=author.aggregator)

    assert problems(report)["history"] == ["record 9: it is from before the record before it"]


def test_another_plan_under_the_same_digest_is_noticed(
    forged: Callable[..., AuditReport], author: Author
) -> None:
    def swap_code(lines: Lines) -> None:
        find(lines, "RunSubmitted")["manifest"]["files"][0]["sha256"] = "1" * 64

    report = forged(swap_code, resealed=author.aggregator)

    assert problems(report).keys() == {"plan"}


def test_a_plan_that_no_site_accepted_is_noticed(forged: Callable[..., AuditReport], author: Author) -> None:
    def other_plan(lines: Lines) -> None:
        body = find(lines, "RunSubmitted")
        body["manifest"]["plan"]["rounds"] = 7
        body["plan_digest"] = Manifest.model_validate(body["manifest"]).digest

    report = forged(other_plan, resealed=author.aggregator)

    assert "signed plan_digest" in problems(report)["statements"][0]


def test_a_site_that_was_asked_without_consent_is_noticed(
    forged: Callable[..., AuditReport], author: Author
) -> None:
    def drop_answer(lines: Lines) -> None:
        lines.remove(next(line for line in lines if line.get("kind") == "PlanAnswered"))

    report = forged(drop_answer, resealed=author.aggregator)

    found = problems(report)["consent"]
    assert "round 0 was asked of budapest without consent" in found[0]
    assert "had not accepted the plan" in found[-1]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"metrics": {"patients": 3.0}}, "would disclose the metric 'patients'"),
        ({"update": UpdateFile(digest=UPDATE, size=1)}, "sent an update, and the plan declares update: none"),
    ],
)
def test_what_the_plan_does_not_declare_is_noticed_though_the_site_signed_it(
    world: World, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    author = Author(world)
    for site in SITES:
        author.accept_plan(site)
    for command in (OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "evaluate", MODEL)):
        author.do(command)
    author.answer_task("zurich", **changes)

    report = verify(author.export(tmp_path / "journal.jsonl"), world.authority.certificate)

    assert problems(report).keys() == {"consent"}
    assert complaint in problems(report)["consent"][0]


def test_an_aggregate_of_other_sites_is_noticed(forged: Callable[..., AuditReport], author: Author) -> None:
    report = forged(
        lambda lines: find(lines, "UpdatesAggregated").update(sites=["budapest"]), resealed=author.aggregator
    )

    assert "UpdatesAggregated does not say who answered" in problems(report)["history"][0]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("TaskFailed", {"exchange": 99}),
        ("TaskFailed", {"site": "cleveland"}),
        ("RoundOpened", {"round_number": "none"}),
        ("RunSubmitted", {"run_id": "heart-2"}),
    ],
)
def test_an_event_that_cannot_be_is_noticed(
    forged: Callable[..., AuditReport], author: Author, kind: str, change: dict[str, Any]
) -> None:
    report = forged(lambda lines: find(lines, kind).update(change), resealed=author.aggregator)

    assert "history" in problems(report)


def test_a_record_of_another_run_is_noticed(forged: Callable[..., AuditReport], author: Author) -> None:
    report = forged(lambda lines: lines[3].update(stream="heart-2"), resealed=author.aggregator)

    assert problems(report)["chain"] == ["record 3 is of heart-2"]


def test_of_many_problems_some_are_told_and_all_counted() -> None:
    check = AuditReport("north", RUN, "", True).checks["chain"]

    for number in range(MOST_PROBLEMS + 5):
        check.fail(str(number))

    assert (len(check.problems), check.count) == (MOST_PROBLEMS, MOST_PROBLEMS + 5)


# --------------------------------------------------------- by an earlier version

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.jsonl"))


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_journal_of_an_earlier_version_still_passes_and_comes_to_the_same(path: Path) -> None:
    report = verify(path)

    assert problems(report) == {}
    assert (report.phase, report.rounds, report.records) == ("finished", 1, 18)
    assert {name: len(site.disclosed) for name, site in report.sites.items()} == {"budapest": 2, "zurich": 1}


@pytest.mark.parametrize("purpose", [TASK_RESULT, TASK_RESULT_2, TASK_RESULT_1])
def test_an_outcome_counts_under_the_purpose_of_its_version_alone(
    world: World, tmp_path: Path, purpose: str
) -> None:
    author = Author(world, of_before=True)
    author.accept_plan("zurich")
    author.accept_plan("budapest")
    author.do(OpenRound(0))
    author.do(Commit(0, MODEL))
    author.do(OpenRound(1))
    author.do(OpenExchange(1, 0, "train", MODEL))
    outcome = author.outcome("zurich", update=UpdateFile(digest=UPDATE, size=120))
    body = outcome.model_dump(mode="json", exclude={"journal", "roster"})  # as 0.1 had it
    statement = CertifiedStatement(body=body, **sign(author.sites["zurich"], purpose, body).model_dump())
    author.do(AcceptResult(outcome.exchange, "zurich", 5, {"loss": 0.5}, UPDATE, statement))

    report = verify(author.export(tmp_path / "journal.jsonl"), world.authority.certificate)

    assert ("statements" in problems(report)) == (purpose != TASK_RESULT_1)
