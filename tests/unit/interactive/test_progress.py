"""Progress in a notebook: one line that is written over."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted
from hanse.core.values.model_ref import ModelRef
from hanse.interactive.progress import NotebookLine, shown_progress

DIGEST = "a" * 64


class Cell:
    """What a cell shows, each time it is changed."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, line: object, *, display_id: bool) -> Cell:
        assert display_id
        self.update(line)
        return self

    def update(self, line: object) -> None:
        self.shown.append(repr(line))


def opened(number: int) -> ExchangeOpened:
    return ExchangeOpened(
        exchange=number, round_number=number, index=0, task="train", model=DIGEST, cohort=("a", "b"), needed=2
    )


def committed(number: int) -> RoundCommitted:
    return RoundCommitted(
        round_number=number, model=ModelRef(DIGEST).digest, metrics={"auc": 0.5, "loss": 0.25}
    )


def follow(cell: Cell, *events: Event, apart_s: float = 1.0) -> None:
    ticks = iter(range(1000))
    with NotebookLine(cell.display, in_turn=True, clock=lambda: next(ticks) * apart_s) as line:
        for event in events:
            line.take(event)


def test_a_line_says_which_round_is_open_and_ends_with_the_last_metrics() -> None:
    cell = Cell()

    follow(cell, opened(1), committed(1), apart_s=10.0)

    assert cell.shown[0] == "starting"
    assert "round 1 of 0, train: 0 of 2 sites" in cell.shown[1]
    assert cell.shown[-1] == "1 of 0 rounds; loss 0.250, auc 0.500"


def test_a_run_whose_workflow_has_converged_says_how_many_rounds_it_took() -> None:
    cell = Cell()
    ticks = iter(range(1000))
    with NotebookLine(cell.display, in_turn=True, clock=lambda: next(ticks)) as line:
        line._rounds = 25
        line.take(opened(1))
        line.take(committed(1))

    assert cell.shown[-1].startswith("1 of at most 25 rounds")


def test_a_line_is_not_written_over_more_often_than_can_be_seen() -> None:
    cell = Cell()

    follow(cell, *map(opened, range(1, 50)), apart_s=0.001)

    assert len(cell.shown) == 3  # the start, the first event and the end


def test_a_run_that_ends_early_says_so() -> None:
    cell = Cell()

    def fail() -> None:
        with NotebookLine(cell.display, in_turn=True):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the test's own
        fail()
    assert cell.shown[-1] == "ended early: 0 of 0 rounds"


def test_there_is_no_progress_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(in_turn=True) as progress:
        progress.take(opened(1))

    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    with shown_progress(in_turn=True) as progress:
        progress.take(opened(1))

    assert "round 1/0" in terminal.getvalue()
    assert "train asked" in terminal.getvalue()
