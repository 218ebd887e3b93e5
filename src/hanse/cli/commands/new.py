"""`hanse new`: a project to begin from, which runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.output import command_line, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def new(
    project: Annotated[
        Path, typer.Argument(help="Folder to make; its name is that of the plan: a-z, 0-9, dot, hyphen, _.")
    ],
) -> None:
    """Write a project that runs at once: a plan, and its code with the places to put your own in."""
    from hanse.core.values.identity import check_name
    from hanse.demo.files import write_project

    plan = write_project(project, check_name(project.name))
    say(f"wrote {plan} and {project / 'federation.py'}; next:")
    quoted = command_line(str(plan))
    say(f"  hanse simulate {quoted} --sites 4     run it with virtual sites, on the example data")
    say(f"  hanse plan check {quoted}             see what it would run, and what would leave a site")
    say(f"  hanse run submit {quoted} --watch     run it in a federation")
