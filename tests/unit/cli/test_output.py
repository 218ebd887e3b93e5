from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.cli.output import log_to, printable, say_table


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_text_keeps_its_letters_and_loses_what_a_terminal_would_act_on() -> None:
    assert printable("Zürich\t\x1b[31mred\n\u202e") == "Zürich\t�[31mred\n�"


def test_the_columns_of_a_table_are_as_wide_as_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("NAME", "ROLE"), [("a", "operator"), ("hospital-b", "x")])

    assert capsys.readouterr().out == "NAME        ROLE\na           operator\nhospital-b  x\n"


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("NAME", "ROLE"), [])

    assert capsys.readouterr().out == "NAME  ROLE\n"


def test_a_peer_cannot_write_a_second_line_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log_to("info")

    logging.getLogger("hanse.test").warning("refused: %s", "x\n2026 INFO all is well\x1b[1A")

    logged = capsys.readouterr().err
    assert logged.count("\n") == 1
    assert logged.endswith("Z WARNING hanse.test: refused: x | 2026 INFO all is well�[1A\n")


def test_a_trace_that_comes_with_a_message_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log_to("info")

    trace = 'Traceback:\n  File "heart.py", line 3\n2026 INFO all is well'
    logging.getLogger("hanse.test").warning("train failed", extra={"trace": trace})

    first, *lines = capsys.readouterr().err.splitlines()
    assert first.endswith("WARNING hanse.test: train failed")
    assert lines == ["  | Traceback:", '  |   File "heart.py", line 3', "  | 2026 INFO all is well"]


def test_the_trace_of_an_error_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_to("info")
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        logging.getLogger("hanse.test").exception("failed")

    first, *trace = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR hanse.test: failed")
    assert trace[-1] == "ZeroDivisionError: by zero"


def test_what_no_file_can_hold_is_escaped_in_the_log_and_so_is_what_moves_a_cursor(tmp_path: Path) -> None:
    log_to("warning", file=tmp_path / "agent.log")
    try:
        raise ValueError("\ud800\x1b[2J")
    except ValueError:
        logging.getLogger("hanse.test").exception("\ud800 failed")

    first, *trace = (tmp_path / "agent.log").read_text().splitlines()
    assert first.endswith("ERROR hanse.test: \ufffd failed")
    assert trace[-1] == "ValueError: \ufffd\ufffd[2J"


def test_as_json_a_line_has_the_facts_that_came_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    log_to("info", as_json=True)

    logging.getLogger("hanse.test").info("round %d", 3, extra={"run": "xrays-1"})

    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "hanse.test", "message": "round 3", "run": "xrays-1"}


def test_the_log_goes_to_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to("warning", file=tmp_path / "agent.log")

    logging.getLogger("hanse.test").info("not told")
    logging.getLogger("hanse.test").warning("told")

    assert (tmp_path / "agent.log").read_text() == capsys.readouterr().err
    assert "told" in (tmp_path / "agent.log").read_text()
