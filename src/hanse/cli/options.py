"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

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
