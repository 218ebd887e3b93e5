from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from tests.commands import Hanse

from hanse.cli import main
from hanse.cli.main import COMMANDS, Entry
from hanse.errors import PolicyError

HEAVY = (
    "pydantic",
    "numpy",
    "aiohttp",
    "sqlalchemy",
    "cryptography",
    "yaml",
    "rich",
    "hanse.cli.commands.join",
)


def failing_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `hanse join` a command that raises."""
    app = typer.Typer()

    @app.command()
    def join() -> None:
        raise error

    monkeypatch.setattr(sys.modules[__name__], "app", app, raising=False)
    monkeypatch.setitem(COMMANDS, "join", Entry(f"{__name__}:app", "Fails."))


def test_help_lists_every_command_and_imports_none() -> None:
    program = (
        "import json, sys; from hanse.cli.main import run; run(['--help']); "
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    *text, imported = shown.splitlines()
    assert json.loads(imported) == []
    assert all(any(line.startswith(f"  {name} ") for line in text) for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_help_of_a_command_fits_on_its_line(name: str) -> None:
    assert len(COMMANDS[name].help) <= 64
    assert COMMANDS[name].help.endswith(".")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_and_all_that_it_takes_is_explained(name: str) -> None:
    commands = [main.load(name)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        assert command.help, command.name
        assert all(parameter.help for parameter in command.params), command.name


def test_without_a_command_the_help_is_shown(hanse: Hanse) -> None:
    ended = hanse()

    assert ended.code == 0
    assert "Usage: hanse" in ended.out


def test_the_version_is_told(hanse: Hanse) -> None:
    assert hanse("--version").out == "hanse 0.2.0.dev0\n"


def test_an_unknown_command_is_answered_with_the_one_that_was_meant(hanse: Hanse) -> None:
    ended = hanse("jion")

    assert ended.code == 2
    assert ended.err == "error: No such command 'jion'. Did you mean 'join'? `hanse --help` says more.\n"


def test_an_error_is_one_line_with_its_mend_and_its_exit_code(
    hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_with(monkeypatch, PolicyError("no", mend="Ask."))

    ended = hanse("join")

    assert (ended.code, ended.out, ended.err) == (4, "", "error: no. Ask.\n")


def test_the_first_error_of_a_group_is_told(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(monkeypatch, ExceptionGroup("tasks", [ExceptionGroup("inner", [PolicyError("no")])]))

    assert hanse("join").err == "error: no\n"


def test_what_nobody_foresaw_is_one_line_too(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(monkeypatch, ZeroDivisionError("by zero"))

    ended = hanse("join")

    assert ended.code == 70
    assert ended.err.startswith("error: internal error: ZeroDivisionError: by zero. ")
    assert ended.err.count("\n") == 1


def test_the_trace_is_shown_where_it_is_asked_for(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(monkeypatch, PolicyError("no"))
    monkeypatch.setenv("HANSE_TRACEBACK", "1")

    ended = hanse("join")

    assert "Traceback (most recent call last)" in ended.err
    assert ended.err.endswith("error: no\n")


def test_ctrl_c_ends_quietly(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(monkeypatch, KeyboardInterrupt())

    ended = hanse("join")

    assert (ended.code, ended.out, ended.err) == (main.INTERRUPTED, "", "")


def test_an_error_cannot_move_the_cursor(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(monkeypatch, PolicyError("site \x1b[2Jevil\r refused"))

    assert (
        hanse("join").err == "error: site \N{REPLACEMENT CHARACTER}[2Jevil\N{REPLACEMENT CHARACTER} refused\n"
    )
