"""What is shown of a run that is under way, on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest

from hanse.cli.watch.live import MOST_ROWS, View
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted, TaskStarted, UpdateAccepted
from hanse.wire.messages.runs import AwaitedSite, RunStatus, StartWait

DIGEST = "a" * 64
OPENED = ExchangeOpened(
    exchange=1, round_number=1, index=0, task="train", model=DIGEST, cohort=("a", "b"), needed=2
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def waiting(*sites: str, connected: bool = True) -> RunStatus:
    awaited = [
        AwaitedSite(
            site=s, task="train", state="started", since_ms=0, deadline_ms=60_000, connected=connected
        )
        for s in sites
    ]
    return RunStatus(
        run_id="heart-1",
        plan_name="heart",
        plan_digest=DIGEST,
        phase="running",
        rounds=3,
        rounds_committed=0,
        submitted_by="operator",
        submitted_ms=0,
        awaited=tuple(awaited),
    )


def test_in_a_pipe_it_is_said_once_who_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        view.status(waiting("a", connected=False))
        view.remind()
        view.remind()

    assert capsys.readouterr().out == (
        "waiting for a (train, at work since 1970-01-01 00:00:00Z, until 1970-01-01 00:01:00Z, "
        "not connected)\n"
    )


def test_a_silent_site_that_the_round_does_without_is_not_said_to_be_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = waiting("a", "b")
    silent = status.awaited[0].model_copy(update={"state": "idle", "needed": False})
    with View() as view:
        view.status(status.model_copy(update={"awaited": (silent, status.awaited[1])}))
        view.remind()

    told = capsys.readouterr().out
    assert told.startswith("waiting for b (train, at work since ")
    assert " a (" not in told


def test_a_run_that_has_not_begun_says_for_how_many_acceptances_it_waits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = StartWait(
        accepted=3, needed=5, asked=6, unanswered=3, until_ms=86_400_000, absent_until_ms=3_600_000
    )
    status = waiting().model_copy(update={"phase": "submitted", "start": start})
    with View() as view:
        view.status(status)
        view.remind()
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    with View() as view:
        view.status(status)

    line = "2 more sites: 3 accepted, 5 needed, until 1970-01-02 00:00:00Z"
    assert capsys.readouterr().out == f"waiting for {line}\n"
    assert f"waits for {line}" in terminal.getvalue()


def test_as_long_as_something_happens_nobody_is_reminded(capsys: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        view.status(waiting("a"))
        view.event(OPENED)
        view.remind()
        assert capsys.readouterr().out == ""
        view.remind()

    assert "waiting for a" in capsys.readouterr().out


def test_of_very_many_sites_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        view.status(waiting(*(f"s{number:03}" for number in range(MOST_ROWS + 5))))
        view.remind()

    assert capsys.readouterr().out.endswith("; and 5 more\n")


def test_a_view_that_is_not_shown_keeps_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    with View(shown=False) as view:
        view.event(RoundCommitted(round_number=1, model=DIGEST, metrics={"loss": 1.0}))
        view.status(waiting("a"))
        view.remind()

    assert capsys.readouterr().out == ""
    assert view.history == [{"round": 1, "metrics": {"loss": 1.0}, "sites": {}, "exchanges": []}]


def test_on_a_terminal_a_picture_shows_who_is_at_what(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    with View() as view:
        view.event(OPENED)
        view.event(TaskStarted(exchange=1, site="a"))
        view.event(UpdateAccepted(exchange=1, site="b", num_examples=1, metrics={"loss": 0.5}, update=None))
        view.status(waiting("a", connected=False))

    shown = terminal.getvalue()
    assert "round 1/0" in shown
    assert "train done" in shown
    assert "train: 1 of 2 sites" in shown
    assert "0.500" in shown
    assert "not connected" in shown


def test_a_dumb_terminal_gets_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "dumb")

    with View() as view:
        view.event(RoundCommitted(round_number=1, model=DIGEST, metrics={"loss": 1.0}))

    assert terminal.getvalue() == "round   loss\n  1/0  1.000\n"
