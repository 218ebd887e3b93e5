"""`hanse run`: what is asked of the aggregator, what is printed, and how the command ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Hanse

from hanse.config.load import LoadedPlan, load_plan
from hanse.core.run.events import Event, event_body
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run_events import RunFinished
from hanse.core.values.canonical import sha256
from hanse.errors import PlanError, TransportError
from hanse.wire.messages.runs import (
    AwaitedSite,
    EventsReply,
    ExchangeAttendance,
    JournalRecord,
    Runs,
    RunStatus,
    StartWait,
    SubmitRequest,
    SuspendedSite,
)

MODEL, BEST = b"the last model", b"the best model"
RUN = RunStatus(
    run_id="xrays-1",
    plan_name="xrays",
    plan_digest="0" * 64,
    phase="running",
    rounds=3,
    rounds_committed=1,
    round_open=2,
    submitted_by="operator",
    submitted_ms=0,
    population=2,
    answer_counts={"accepted": 2},
    answers={"a": "accepted", "b": "accepted"},
    awaited=(
        AwaitedSite(site="b", task="train", state="started", since_ms=0, deadline_ms=60_000, connected=False),
    ),
    model=sha256(MODEL),
    best_round=1,
    best_model=sha256(BEST),
    metrics={"accuracy": 0.75, "loss": 0.5},
)


class Aggregator:
    """Stands for the client of a running aggregator; keeps what it was asked.

    Attributes:
        away: Whether it does not answer.
        submitted: What it says of a run that was just submitted.
        restarts: How often it is another aggregator that a plan is submitted to, which knows of no blob.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.blobs = {sha256(data): data for data in (MODEL, BEST)} | {"0" * 64: b"the plan"}
        self.end: dict[str, Any] = {"phase": "finished"}
        self.restarts = 0
        self.away = False
        self.submitted = RUN

    async def upload(self, digest: str, source: Path | bytes, give_up_s: float | None = None) -> None:
        if self.away:
            raise TransportError(f"cannot reach the aggregator for {give_up_s:g} s")
        self.blobs[digest] = source if isinstance(source, bytes) else source.read_bytes()
        self.asked.append(("upload", digest))

    async def submit(self, request: SubmitRequest) -> RunStatus:
        self.asked.append(("submit", request))
        if self.restarts:
            self.restarts -= 1
            self.blobs.clear()
        if request.plan_digest not in self.blobs:
            raise PlanError("plan was not uploaded")
        return self.submitted

    async def runs(self) -> Runs:
        return Runs(runs=(RUN,))

    async def run(self, run_id: str) -> RunStatus:
        return RUN

    async def stop(self, run_id: str, reason: str) -> RunStatus:
        self.asked.append(("stop", run_id, reason))
        return RUN.model_copy(update={"phase": "stopped", "reason": reason})

    async def resume(self, run_id: str) -> RunStatus:
        self.asked.append(("resume", run_id))
        return RUN

    async def reinstate(self, run_id: str, site: str) -> RunStatus:
        self.asked.append(("reinstate", run_id, site))
        return RUN

    async def events(self, run_id: str, after: int) -> EventsReply:
        records = (record(RoundCommitted(round_number=1, model="a" * 64, metrics={"loss": 0.5})),)
        return EventsReply(records=records[after:], status=RUN)

    async def follow(self, run_id: str) -> AsyncIterator[EventsReply]:
        yield EventsReply(
            records=(record(RoundCommitted(round_number=2, model="a" * 64, metrics={})),), status=RUN
        )
        ended = RUN.model_copy(update=self.end)
        yield EventsReply(records=(record(RunFinished(rounds=3, model=None)),), status=ended)

    async def export(self, run_id: str, path: Path) -> None:
        path.write_text("the journal")

    async def download(self, digest: str, path: Path) -> None:
        path.write_bytes(self.blobs[digest])


def record(event: Event) -> JournalRecord:
    return JournalRecord(
        stream="xrays-1",
        sequence=1,
        time_ms=0,
        kind=event.kind,
        body=event_body(event),
        previous="",
        digest="",
    )


@pytest.fixture
def aggregator(monkeypatch: pytest.MonkeyPatch) -> Aggregator:
    found = Aggregator()

    @asynccontextmanager
    async def client(directory: Path, **_: object) -> AsyncIterator[Aggregator]:
        yield found

    monkeypatch.setattr("hanse.assembly.operator.control_client", client)
    return found


@pytest.fixture
def plan(tmp_path: Path) -> LoadedPlan:
    (tmp_path / "federation.py").write_text("def learner(site):\n    ...\n")
    (tmp_path / "plan.yaml").write_text(
        "name: xrays\ncode: [federation.py]\nlearner: federation:learner\n"
        "tasks: {train: {discloses: {update: individual}}}\n"
    )
    return load_plan(tmp_path / "plan.yaml")


def test_a_plan_is_submitted_once_all_of_it_is_there(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    ended = hanse("run", "submit", plan.root / "plan.yaml")

    assert (ended.code, ended.out) == (0, "xrays-1\n")
    assert aggregator.asked == [
        ("upload", plan.manifest.files[0].sha256),
        ("upload", plan.digest),
        ("submit", SubmitRequest(plan_digest=plan.digest)),
    ]
    assert aggregator.blobs[plan.digest] == plan.manifest.to_bytes()


def test_a_plan_that_sites_refuse_by_default_is_submitted_with_a_warning(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    path = plan.root / "plan.yaml"
    path.write_text(path.read_text().replace("individual", "aggregate, aggregated_by: aggregator"))

    ended = hanse("run", "submit", path)
    as_json = json.loads(hanse("run", "submit", path, "--json").out)

    assert (ended.code, ended.out) == (0, "xrays-1\n")
    assert ended.err.count("sites refuse this plan by default: train may disclose a sum of 1 site") == 1
    assert "Add to the plan: `cohort: {minimum: 3}`" in ended.err
    assert [ended.err.strip().removeprefix("warning: ")] == as_json["warnings"]


def test_a_plan_that_a_restarted_aggregator_has_not_kept_is_brought_again(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    aggregator.restarts = 2

    ended = hanse("run", "submit", plan.root / "plan.yaml")

    assert (ended.code, ended.out) == (0, "xrays-1\n")
    assert aggregator.asked.count(("upload", plan.digest)) == 3


def test_a_plan_that_the_aggregator_never_has_is_not_brought_for_ever(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    aggregator.restarts = 100

    ended = hanse("run", "submit", plan.root / "plan.yaml")

    assert ended.code == 3
    assert "plan was not uploaded" in ended.err
    assert aggregator.asked.count(("submit", SubmitRequest(plan_digest=plan.digest))) == 3


def test_an_aggregator_that_is_away_is_given_up_after_the_wait(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    aggregator.away = True

    ended = hanse("run", "submit", plan.root / "plan.yaml", "--wait", "30s")

    assert ended.code == 10
    assert (
        "the plan was not submitted: cannot reach the aggregator for 30 s; given up after 30 s" in ended.err
    )
    assert not [asked for asked in aggregator.asked if asked[0] == "submit"]


def test_a_run_of_chosen_sites_has_a_name_of_its_own(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    hanse("run", "submit", plan.root / "plan.yaml", "--sites", "a, b", "--name", "pilot")

    request = SubmitRequest(plan_digest=plan.digest, name="pilot", sites=("a", "b"))
    assert aggregator.asked[-1] == ("submit", request)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--sites", ","), 2, "--sites names no site"),
        (("--sites", "a,B C"), 3, "'B C' is not a valid name"),
        (("--name", "../x"), 3, "'../x' is not a valid name"),
        (("--wait", "soon"), 2, "'soon' is not a duration"),
    ],
)
def test_wishes_that_make_no_sense_are_refused_before_anybody_is_asked(
    plan: LoadedPlan,
    aggregator: Aggregator,
    hanse: Hanse,
    arguments: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    ended = hanse("run", "submit", plan.root / "plan.yaml", *arguments)

    assert (ended.code, aggregator.asked) == (code, [])
    assert complaint in ended.err


WAIT = StartWait(accepted=0, needed=2, asked=3, unanswered=3, until_ms=86_400_000, absent_until_ms=3_600_000)


def just_submitted(wait: StartWait, *away: str) -> RunStatus:
    awaited = [
        AwaitedSite(
            site=site,
            task=None,
            state="assigned",
            since_ms=0,
            deadline_ms=wait.until_ms,
            connected=site not in away,
        )
        for site in "abc"[: wait.asked]
    ]
    return RUN.model_copy(update={"phase": "submitted", "start": wait, "awaited": tuple(awaited)})


@pytest.mark.parametrize(
    ("status", "warning"),
    [
        (just_submitted(WAIT), ""),
        (
            just_submitted(WAIT.model_copy(update={"asked": 1, "unanswered": 1})),
            "1 site is asked, and the plan needs 2 sites: the run waits for 1 more to join, until 1970-01-02 "
            "00:00:00Z, and fails then",
        ),
        (
            just_submitted(WAIT, "c"),
            "not connected: c. Once 2 sites have accepted the plan, the run waits for the others until "
            "1970-01-01 01:00:00Z, unless they connect before; after that they may join it",
        ),
        (
            just_submitted(WAIT, "b", "c"),
            "not connected: b and c. The run waits until 2 sites have accepted the plan, and fails at "
            "1970-01-02 00:00:00Z if they have not",
        ),
    ],
)
def test_a_submission_says_what_may_hold_the_run_up(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse, status: RunStatus, warning: str
) -> None:
    aggregator.submitted = status

    ended = hanse("run", "submit", plan.root / "plan.yaml")

    assert ended.err.strip() == (f"warning: {warning}" if warning else "")


def test_a_run_that_waits_for_acceptances_says_for_how_many(
    aggregator: Aggregator, hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.RUN", just_submitted(WAIT, "c"))

    out = hanse("run", "status", "xrays-1").out

    assert "waits for  2 more sites: 0 accepted, 2 needed, until 1970-01-02 00:00:00Z\n" in out


@pytest.mark.parametrize(
    ("error", "advised"), [("quorum", True), ("storage", True), ("workflow", False), ("plan", False)]
)
def test_resume_is_advised_only_where_it_can_help(
    aggregator: Aggregator, hanse: Hanse, tmp_path: Path, error: str, advised: bool
) -> None:
    aggregator.end = {"phase": "failed", "error": error, "reason": "it did not work."}

    ended = hanse("run", "watch", "xrays-1", "-d", tmp_path / "my federation")

    assert "run xrays-1 failed: it did not work. " in ended.err
    assert (f"`hanse run resume xrays-1 -d '{tmp_path}/my federation'`" in ended.err) == advised
    assert ("Correct the plan and submit it again" in ended.err) != advised


def test_a_plan_that_is_wrong_is_told_before_anybody_is_asked(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    (plan.root / "plan.yaml").write_text("name: xrays\n")

    assert hanse("run", "submit", plan.root / "plan.yaml").code == 3
    assert aggregator.asked == []


def test_a_submitted_run_can_be_watched_at_once(
    plan: LoadedPlan, aggregator: Aggregator, hanse: Hanse
) -> None:
    ended = hanse("run", "submit", plan.root / "plan.yaml", "--watch")

    assert ended.code == 0
    assert ended.out.startswith("xrays-1\n")
    assert ended.out.endswith("finished after 3 rounds\n")


@pytest.mark.parametrize(
    ("end", "code", "complaint"),
    [
        ({"phase": "finished"}, 0, ""),
        ({"phase": "failed", "reason": "too few sites"}, 5, "run xrays-1 failed: too few sites"),
        ({"phase": "stopped", "reason": "lunch"}, 5, "run xrays-1 was stopped: lunch"),
    ],
)
def test_watching_ends_as_the_run_does(
    aggregator: Aggregator, hanse: Hanse, end: dict[str, str], code: int, complaint: str
) -> None:
    aggregator.end = end

    ended = hanse("run", "watch", "xrays-1")

    assert ended.code == code
    assert complaint in ended.err


def test_watching_with_json_prints_how_the_run_stands_in_the_end(
    aggregator: Aggregator, hanse: Hanse
) -> None:
    ended = hanse("run", "watch", "xrays-1", "--json")

    assert json.loads(ended.out)["phase"] == "finished"


def test_runs_are_listed(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "list")

    assert ended.out.splitlines()[1].split() == [
        "xrays-1", "xrays", "(000000000000)", "running", "1/3", "1970-01-01", "00:00:00Z", "operator", "-",
    ]  # fmt: skip


def test_the_status_says_who_is_waited_for_since_when_and_until_when(
    aggregator: Aggregator, hanse: Hanse
) -> None:
    out = hanse("run", "status", "xrays-1").out

    assert "1 of 3 committed, round 2 open" in out
    assert "loss 0.500, accuracy 0.750" in out
    awaited = "b (train, at work since 1970-01-01 00:00:00Z, until 1970-01-01 00:01:00Z, not connected)"
    assert f"waits for  {awaited}" in out


def test_the_status_comes_as_json_too(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "status", "xrays-1", "--json")

    assert RunStatus.model_validate_json(ended.out) == RUN


def test_a_run_is_stopped_for_a_reason(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "stop", "xrays-1", "--reason", "wrong data")

    assert aggregator.asked == [("stop", "xrays-1", "wrong data")]
    assert ended.out == "run xrays-1 is stopped, with 1 rounds committed\n"


def test_a_run_is_resumed_and_watched(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "resume", "xrays-1", "--watch")

    assert aggregator.asked == [("resume", "xrays-1")]
    assert "finished after 3 rounds" in ended.out


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"phase": "finished"}, ""),
        (
            {"phase": "running"},
            "run xrays-1 is running, with 1 of 3 rounds committed; export it again when it has finished",
        ),
        (
            {"phase": "failed", "model": None, "best_model": None, "rounds_committed": 0},
            "run xrays-1 has failed, with 0 of 3 rounds committed; there is no model yet",
        ),
        (
            {"phase": "finished", "expired": True},
            "the models of run xrays-1 are not kept any more; its journal and plan are",
        ),
    ],
)
def test_an_export_says_what_it_lacks(
    aggregator: Aggregator,
    hanse: Hanse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    changes: dict[str, Any],
    remark: str,
) -> None:
    monkeypatch.setattr(f"{__name__}.RUN", RUN.model_copy(update=changes))

    ended = hanse("run", "export", "xrays-1", "-o", tmp_path / "out")

    assert (ended.code, ended.err.strip()) == (0, f"warning: {remark}" if remark else "")
    assert (tmp_path / "out" / "model.safetensors").exists() == ("model" not in remark)


def test_an_export_is_the_journal_the_plan_and_the_models(
    aggregator: Aggregator, hanse: Hanse, tmp_path: Path
) -> None:
    folder = tmp_path / "of" / "xrays-1"

    ended = hanse("run", "export", "xrays-1", "-o", folder, "--json")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "journal.jsonl": b"the journal",
        "plan.json": b"the plan",
        "model.safetensors": MODEL,
        "best.safetensors": BEST,
    }
    assert json.loads(ended.out)["best"] == str(folder / "best.safetensors")


def test_an_aggregator_that_is_away_is_named(
    aggregator: Aggregator, hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> Runs:
        raise TransportError("https://localhost:1 cannot be reached")

    monkeypatch.setattr(aggregator, "runs", away)

    ended = hanse("run", "list")

    assert ended.code == 10
    assert "https://localhost:1 cannot be reached" in ended.err


SHORT = RUN.model_copy(
    update={
        "short_rounds": 2,
        "suspended": (
            SuspendedSite(
                site="b",
                reason="it failed",
                round_number=1,
                since_ms=0,
                reinstatement_round=12,
            ),
        ),
        "attendance": (
            ExchangeAttendance(
                exchange=3,
                round_number=1,
                task="train",
                cause="grace",
                asked=2,
                answered=1,
                absent=1,
                failed={},
                idle=("b",),
                unanswered=(),
                late={"b": 7},
                suspended=(),
                num_examples=10,
                missing_examples=5,
                missing_share=0.333,
                unknown=(),
                unknown_count=0,
                tolerated=0.2,
                too_little=True,
            ),
        ),
    }
)


def test_the_list_says_what_an_operator_should_look_at(
    aggregator: Aggregator, hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def runs() -> Runs:
        return Runs(runs=(SHORT,))

    monkeypatch.setattr(aggregator, "runs", runs)

    assert hanse("run", "list").out.rstrip().endswith("b suspended; too little data in 2 rounds")


def test_the_status_says_who_took_part_and_who_is_set_aside(
    aggregator: Aggregator, hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(run_id: str) -> RunStatus:
        return SHORT

    monkeypatch.setattr(aggregator, "run", run)

    out = hanse("run", "status", "xrays-1").out
    assert "took part  round 1, train: 1 of 2 answered, 10 examples\n" in out
    assert "WARNING    round 1, train: b (silent), 33.3 % of the data known so far, is not in it; " in out
    assert "late       round 1, train: b (7 examples); not counted\n" in out
    assert "WARNING    too little data in 2 rounds: more was missing than the plan tolerates\n" in out
    assert "suspended  b: it failed; it is asked again from round 12 on, or when it is reinstated\n" in out


def test_a_site_is_reinstated(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "reinstate", "xrays-1", "b")

    assert aggregator.asked == [("reinstate", "xrays-1", "b")]
    assert ended.out == "b is reinstated in run xrays-1; it is asked from the next round on\n"


def test_reinstating_a_site_prints_the_run_as_json(aggregator: Aggregator, hanse: Hanse) -> None:
    ended = hanse("run", "reinstate", "xrays-1", "b", "--json")

    assert RunStatus.model_validate_json(ended.out) == RUN


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_the_former_name_of_reinstate_works_and_says_that_it_is_another_now(
    aggregator: Aggregator, hanse: Hanse, json: tuple[str, ...]
) -> None:
    present = hanse("run", "reinstate", "xrays-1", "b", *json)
    former = hanse("run", "take-back", "xrays-1", "b", *json)

    assert (former.code, former.out) == (present.code, present.out) == (0, present.out)
    assert aggregator.asked == [("reinstate", "xrays-1", "b")] * 2
    assert "`hanse run take-back` is now `hanse run reinstate`" in former.err
    assert present.err == ""


def test_the_help_names_reinstate_alone(hanse: Hanse) -> None:
    told = hanse("run", "--help").out

    assert "reinstate" in told
    assert "take-back" not in told


def test_a_run_is_drawn_from_its_journal(aggregator: Aggregator, hanse: Hanse, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    ended = hanse("run", "plot", "xrays-1", "-o", tmp_path / "run.svg", "--only", "curves")

    assert (ended.code, ended.out) == (0, f"picture: {tmp_path / 'run.svg'}\n")
    assert (tmp_path / "run.svg").read_text("utf-8").startswith("<?xml")


def test_a_picture_of_another_kind_is_refused_before_the_aggregator_is_asked(hanse: Hanse) -> None:
    ended = hanse("run", "plot", "xrays-1", "-o", "run.gif")

    assert (ended.code, ended.err) == (
        3,
        "error: run.gif has none of the endings .png, .svg and .pdf. Name it as in run.png.\n",
    )
