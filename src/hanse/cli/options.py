"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from hanse.core.values.schema import MAX_DURATION_S, parse_duration

FEDERATION = Path("federation")
SITE = Path()

FederationDirectory = Annotated[
    Path,
    typer.Option(
        "--directory",
        "-d",
        envvar="HANSE_FEDERATION",
        help="Directory of the federation, or of an operator who joined it.",
    ),
]
SiteDirectory = Annotated[
    Path, typer.Option("--site", "-s", envvar="HANSE_SITE", help="Directory of the site.")
]


def _stated(reason: str) -> str:
    if not reason.strip():
        raise typer.BadParameter("say why, in a sentence")
    return reason


def required_reason(journal: str) -> OptionInfo:
    """The option of a command that records for good what a person acknowledges.

    Args:
        journal: Where the reason is recorded.
    """
    help_ = f"Why, in a sentence for {journal}; it stays there for good."
    option: OptionInfo = typer.Option("--reason", callback=_stated, help=help_)
    return option


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class Level(StrEnum):
    """The least that a service logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogLevel = Annotated[
    Level | None, typer.Option("--log-level", help="The least that is logged; else what the settings say.")
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]


def seconds(duration: str, most_s: float = MAX_DURATION_S) -> float:
    """The seconds of an option such as `30s`, `10m` or `7d`.

    Raises:
        BadParameter: It is not a duration, or is longer than it may be.
    """
    try:
        found = float(parse_duration(duration))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not 0 < found <= most_s:
        raise typer.BadParameter(f"{duration} is not above 0 and at most {most_s / 86_400:g} days")
    return found
