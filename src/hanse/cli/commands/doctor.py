"""`hanse doctor`: what is wrong here, and how to fix it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import Json
from hanse.cli.output import say, say_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def doctor(
    site: Annotated[
        Path | None,
        typer.Option("--site", "-s", envvar="HANSE_SITE", help="Examine this directory of a site."),
    ] = None,
    federation: Annotated[
        Path | None,
        typer.Option(
            envvar="HANSE_FEDERATION",
            help="Examine this directory of a federation, or of an operator who joined one.",
        ),
    ] = None,
    operator: Annotated[Path | None, typer.Option(help="Examine this directory of an operator.")] = None,
    json: Json = False,
) -> None:
    """Find out what is wrong here, and how to fix it.

    Examines the directories that --site, --federation and --operator name, else those that are
    found here: settings, credentials, the route to the aggregator, clock, data sources, disk, plans,
    journal and sandbox. Ends with 1 when a check fails; a warning is not a failure.
    """
    from hanse.doctor.checks import Grade
    from hanse.doctor.examine import ExaminedPaths, examine

    found = asyncio.run(examine(ExaminedPaths.named(site, federation, operator)))
    if json:
        say_json([asdict(finding) for finding in found])
    else:
        for place, findings in groupby(found, key=lambda finding: finding.place):
            say(f"\n{place}" if place else "this machine")
            for finding in findings:
                mend = f". {finding.mend}" if finding.mend else ""
                say(f"{finding.grade:4}  {finding.check}: {finding.detail}{mend}")
    if any(finding.grade is Grade.FAIL for finding in found):
        raise typer.Exit(1)
