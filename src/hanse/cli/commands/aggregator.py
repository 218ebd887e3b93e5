"""`hanse aggregator`: the service that coordinates and combines."""

from __future__ import annotations

import asyncio
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import FEDERATION, Json, LogJson, LogLevel, required_reason
from hanse.cli.output import log_to, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback()
def _aggregator() -> None:
    """Run the service that coordinates and combines."""


@app.command()
def start(
    directory: Annotated[
        Path, typer.Argument(envvar="HANSE_FEDERATION", help="Directory that `hanse federation create` made.")
    ] = FEDERATION,
    log_level: LogLevel = None,
    log_json: LogJson = False,
    json: Json = False,
) -> None:
    """Serve the federation in DIRECTORY until Ctrl-C or SIGTERM.

    One line on the standard output says when it is ready; the log goes to the standard
    error. Active runs resume at the next start.
    """
    from hanse.assembly.attested.sealed_memory import begin_sealed_memory
    from hanse.cli.service import run_until_stopped
    from hanse.config.settings import load_aggregator

    settings = load_aggregator(directory)
    log_to(log_level or settings.log.level, as_json=log_json)
    begin_sealed_memory(directory, settings.sealed_memory)
    raise typer.Exit(run_until_stopped(_serve(directory, as_json=json)))


@app.command()
def acknowledge(
    reason: Annotated[str, required_reason("the journals")],
    directory: Annotated[
        Path,
        typer.Argument(
            envvar="HANSE_FEDERATION", help="Directory of the federation, or of an operator who joined it."
        ),
    ] = FEDERATION,
) -> None:
    """Acknowledge that the aggregator was restored from a backup, while it runs or is stopped.

    The aggregator notices a restore by its own receipts, which sites show when they connect, and then records
    nothing more: wait until the log says so. If there is a later copy of journal.sqlite, stop the aggregator
    and put that copy back. If not, this command records in the name of the operator that records are missing,
    and the runs continue.
    """
    from hanse.assembly.restore import acknowledge_restore

    say(asyncio.run(acknowledge_restore(directory, reason)))


async def _serve(directory: Path, *, as_json: bool) -> None:
    from hanse.assembly.aggregator import aggregator

    async with aggregator(directory) as running:
        settings = running.settings
        if as_json:
            ready = {
                "federation": settings.federation,
                "url": settings.url,
                "port": running.port,
                "authority": running.fingerprint,
                "sites": running.sites,
            }
            say(dumps(ready))  # on one line, for whoever waits for it
        else:
            say(
                f"the aggregator of {settings.federation} is ready at {settings.url}, "
                f"with {running.sites} sites enrolled; authority {running.fingerprint}"
            )
        await asyncio.Event().wait()
