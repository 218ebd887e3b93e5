"""What commands print: lines, tables, JSON, errors and the log; safe to read, plain in a pipe."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import typer

_LOG_BYTES = 10_000_000
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "taskName"}


def printable(text: str) -> str:
    """Text as it may go to a terminal: what others wrote cannot move the cursor or change colours."""
    if text.isprintable():  # nearly all is, and every line of the log goes through this
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def say(text: str) -> None:
    """Print what was asked for."""
    typer.echo(printable(text))


def note(text: str) -> None:
    """Print what a person wants to know and a script does not: on the standard error, to a terminal only."""
    if sys.stderr.isatty():
        typer.echo(printable(text), err=True)


def complain(text: str) -> None:
    """Print an error."""
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(printable(text), err=True)


def warn(text: str) -> None:
    """Print what went wrong beside the main thing."""
    typer.secho("warning: ", fg="yellow", bold=True, err=True, nl=False)
    typer.echo(printable(text), err=True)


def say_json(value: Any) -> None:
    """Print a JSON value for a script."""
    typer.echo(json.dumps(value, indent=2))


def say_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: columns side by side, as wide as they need."""
    lines = [[printable(cell) for cell in line] for line in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def log_to(level: str, *, as_json: bool = False, file: Path | None = None) -> None:
    """Send the log to the standard error.

    Args:
        level: The least that is told: `debug`, `info`, `warning` or `error`.
        as_json: One JSON object a line, for machines.
        file: A file that gets it too. It is begun anew when it has 10 MB, and the two before it are kept.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if file is not None:
        kept = RotatingFileHandler(
            file, maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8", errors="backslashreplace"
        )
        handlers.append(kept)
    formatter = _JsonFormatter() if as_json else _LineFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    logging.captureWarnings(True)


class _LineFormatter(logging.Formatter):
    """`2026-05-04T10:02:11.120Z INFO hanse.aggregator.service: ...`, and below it the trace of an error."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the lines of a trace that came with it, each marked as one of them."""
        trace = printable(str(getattr(record, "trace", "")).rstrip()).splitlines()
        return "\n".join([super().format(record), *(f"  | {line}" for line in trace)])

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """When it happened, UTC."""
        return _iso(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, on which nothing that a peer sent can pass for another line."""
        return printable(super().formatMessage(record)).replace("\n", " | ")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The trace; messages of errors in it may be a peer's."""
        return printable(super().formatException(ei))


class _JsonFormatter(logging.Formatter):
    """One JSON object a line, with the facts that came with the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        facts = {name: value for name, value in record.__dict__.items() if name not in _OWN}
        line = {
            "time": _iso(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _iso(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
