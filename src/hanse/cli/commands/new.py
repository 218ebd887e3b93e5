"""`hanse new`: a project to begin from, which runs as it is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.output import command_line, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Template(StrEnum):
    """Beginnings of a project."""

    NUMPY = "numpy"
    TORCH = "torch"
    SKLEARN = "sklearn"
    TABLE = "table"
    SCRIPT = "script"


@app.command()
def new(
    project: Annotated[
        Path, typer.Argument(help="Folder to make; its name is that of the plan: a-z, 0-9, dot, hyphen, _.")
    ],
    template: Annotated[
        Template,
        typer.Option(
            help="What to begin with: a learner in NumPy, for PyTorch or for scikit-learn; statistics of "
            "tables, without a model; or a training script with a loop over hanse.rounds."
        ),
    ] = Template.NUMPY,
) -> None:
    """Write a project that runs at once: a plan, and its code with the places to put your own in."""
    from importlib.util import find_spec

    from hanse.core.values.identity import check_name
    from hanse.demo.files import write_project

    plan, code = write_project(project, check_name(project.name), template)
    say(f"wrote {plan} and {code}; next:")
    if template in (Template.TORCH, Template.SKLEARN) and find_spec(template) is None:
        say(f"  pip install 'hanse[{template}]'     the code needs this extra, which is not installed")
    quoted = command_line(str(plan))
    for command, what in (
        (
            f"hanse simulate {quoted} --sites 4",
            "run it with virtual sites, on the example data",
        ),
        (f"hanse plan check {quoted}", "see what it would run, and what would leave a site"),
        (f"hanse run submit {quoted} --watch", "run it in a federation"),
    ):
        say(f"  {command}     {what}")
