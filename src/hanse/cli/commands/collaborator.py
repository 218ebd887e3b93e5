"""`hanse collaborator`: the agent that works next to a site's data."""

from __future__ import annotations

import logging

import typer

from hanse.cli.options import SITE, LogJson, LogLevel, SiteDirectory
from hanse.cli.output import log_to
from hanse.errors import HanseError

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback()
def _collaborator() -> None:
    """Run the agent that works next to a site's data."""


@app.command()
def start(directory: SiteDirectory = SITE, log_level: LogLevel = None, log_json: LogJson = False) -> None:
    """Serve the site's federation until Ctrl-C or SIGTERM, as site.yaml permits.

    The log, on the standard error and in agent.log, says what the agent waits for. Interrupted
    work is resumed at the next start.
    """
    from hanse.assembly.site import agent
    from hanse.cli.service import run_until_stopped
    from hanse.config.layout import AGENT_LOG
    from hanse.config.settings import load_site

    settings = load_site(directory)
    log_to(log_level or settings.log.level, as_json=log_json, file=directory / AGENT_LOG)
    try:
        code = run_until_stopped(agent(directory).run())
    except HanseError as error:
        logger.error("the agent ends: %s", error)  # agent.log should tell why, too
        raise
    raise typer.Exit(code)
