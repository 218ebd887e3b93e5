"""The command `hanse`: finds the module of a command, and turns an error into one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from hanse import __version__
from hanse.cli.output import complain
from hanse.errors import HanseError

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""
_INTERNAL_ERROR = 70

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Raised for wrong arguments. Older versions of Typer take it from Click, later ones bring their own."""


class Entry(NamedTuple):
    """A command: where it is, as `module:app`, and its line in `hanse --help`."""

    target: str
    help: str


COMMANDS = {
    "demo": Entry("hanse.cli.commands.demo:app", "Run a whole federation on this machine, on real data."),
    "new": Entry("hanse.cli.commands.new:app", "Write a project that runs at once: a plan and its code."),
    "simulate": Entry(
        "hanse.cli.commands.simulate:app", "Run a plan or a training script with virtual sites."
    ),
    "federation": Entry(
        "hanse.cli.commands.federation:app", "Create a federation; invite and remove its members."
    ),
    "join": Entry("hanse.cli.commands.join:app", "Join a federation with an invitation."),
    "aggregator": Entry(
        "hanse.cli.commands.aggregator:app", "Run the service that coordinates and combines."
    ),
    "collaborator": Entry(
        "hanse.cli.commands.collaborator:app", "Run the agent that works next to a site's data."
    ),
    "plan": Entry("hanse.cli.commands.plan:app", "Check, read, compare, approve and reject plans."),
    "run": Entry("hanse.cli.commands.run:app", "Submit, watch, stop, resume, draw and export runs."),
    "audit": Entry("hanse.cli.commands.audit:app", "Verify and read the exported journal of a run."),
    "attest": Entry(
        "hanse.cli.commands.attest:app", "Make and verify evidence of what a machine runs, in files."
    ),
    "owner": Entry("hanse.cli.commands.owner:app", "Create and show the keys of a model's owner."),
    "seal": Entry("hanse.cli.commands.seal:app", "Encrypt a first model for its owner, who signs it."),
    "unseal": Entry("hanse.cli.commands.unseal:app", "Decrypt a file that is sealed to an owner."),
    "doctor": Entry("hanse.cli.commands.doctor:app", "Find out what is wrong here, and how to fix it."),
}
"""Stated here and not in the modules, so that `hanse --help` need not import them."""


class LazyGroup(TyperGroup):
    """The commands of `COMMANDS`; the module of one is imported when it is called."""

    def __init__(self, **attributes: Any) -> None:
        stand_ins = {name: TyperCommand(name, help=entry.help) for name, entry in COMMANDS.items()}
        super().__init__(**{**attributes, "commands": stand_ins})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called, and load it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if found and name else None, rest


def load(name: str) -> Any:
    """Import a command, whole, with all below it."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = typer.main.get_command(getattr(import_module(module), attribute))
    command.name = name
    return command


app = typer.Typer(cls=LazyGroup, invoke_without_command=True, rich_markup_mode=None)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hanse {__version__}")
        raise typer.Exit


@app.callback()
def _hanse(
    context: typer.Context,
    _version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Federated learning for sovereign sites: the model travels, the data stays.

    Every command explains itself with --help. HANSE_TRACEBACK=1 in the environment
    adds to an error where in the code it arose.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line.

    Returns:
        What the process ends with: 0, the error's own `exit_code`, 2 for wrong arguments, 130 after Ctrl-C.
    """
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="hanse", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the outermost edge: whatever it is becomes one line
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: BaseException) -> int:
    """Tell an error to the person at the terminal; the exit code that goes with it."""
    while isinstance(error, BaseExceptionGroup):  # of tasks that fell together: the first is the reason
        error = error.exceptions[0]
    if os.environ.get("HANSE_TRACEBACK") == "1":
        traceback.print_exception(error)
    match error:
        case HanseError():
            complain(str(error))
            return error.exit_code
        case UsageError():
            return _report_usage(error)
        case _:
            kind = type(error).__name__
            what = f"{error}".removesuffix(".")
            complain(f"internal error: {kind}: {what}. Please report it with what HANSE_TRACEBACK=1 shows.")
            return _INTERNAL_ERROR


def _report_usage(error: Any) -> int:
    message = error.format_message()
    command = error.ctx.command_path if error.ctx else "hanse"
    if type(error).__name__ == "NoSuchOption" and command.endswith(" simulate"):
        message = f"{message}; arguments of a script stand at the end, after `--`"
    complain(f"{message}{'' if message.endswith(('.', '?')) else '.'} `{command} --help` says more.")
    return int(error.exit_code)


def main() -> None:
    """Entry point of the program."""
    sys.exit(run(sys.argv[1:]))
