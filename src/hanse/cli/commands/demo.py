"""`hanse demo`: a whole federation on this machine, on real data, in real processes."""

from __future__ import annotations

import asyncio
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import Json
from hanse.cli.output import command_line, say, say_json
from hanse.errors import ConfigError

if TYPE_CHECKING:
    from hanse.cli.demo.hospitals import DemoPaths
    from hanse.cli.watch.live import View
    from hanse.config.load import LoadedPlan
    from hanse.learners.comparison import Comparison

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Library(StrEnum):
    """What the hospitals' model can be written with."""

    NUMPY = "numpy"
    TORCH = "torch"
    SKLEARN = "sklearn"


_START_S = 60.0
"""How long the aggregator may take to start."""


@app.command()
def demo(
    learner: Annotated[
        Library, typer.Option(help="What the hospitals' model is written with.")
    ] = Library.NUMPY,
    directory: Annotated[
        Path | None,
        typer.Option(help="Directory to make it in. Unset: hanse-demo, or hanse-demo-2 where that is taken."),
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, max=10_000, help="Rounds; unset: the plan's.")] = None,
    keep: Annotated[bool, typer.Option(help="Whether to leave the directory when all is done.")] = True,
    json: Json = False,
) -> None:
    """Run a whole federation on this machine: an aggregator and four hospitals with real patients.

    Each of the five is a process with a directory and a key of its own, and each hospital has
    its own patients only. They train one model together over mutual TLS, which is then held
    against the hospitals' own models. Nothing runs on when the command ends.
    """
    from hanse.assembly.demo import free_directory, make_directory

    _check_installed(learner)
    root = directory or free_directory(Path("hanse-demo"))
    make_directory(root)
    try:
        summary = _run(root, learner, rounds, shown=not json)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
    if json:
        say_json(summary)


def _check_installed(learner: Library) -> None:
    from importlib.util import find_spec

    from hanse.learners.installed import install_command, requirement_of_extra

    if find_spec(learner) is None:
        requirement = requirement_of_extra(learner)
        raise ConfigError(
            f"`--learner {learner}` needs {requirement}, which is not installed in {sys.prefix}",
            mend=f"Install it: {install_command(requirement)}",
        )


def _run(root: Path, learner: Library, rounds: int | None, *, shown: bool) -> dict[str, Any]:
    """Do all of it; what came of it, as JSON."""
    from hanse.assembly.demo import compare_model, write_demo_plan
    from hanse.cli.commands import audit
    from hanse.cli.demo.hospitals import DemoPaths
    from hanse.cli.watch.live import View

    places, view = DemoPaths(root), View(shown=shown)
    loaded = write_demo_plan(places.plan, learner, rounds)
    files = asyncio.run(_deploy(places, loaded, view))
    comparison = compare_model(loaded, files["model"])
    journal, authority, signers = files["journal"], places.authority, places.signers
    report = audit.examine(journal, authority, signers)
    audit.hold_against_receipts(report, journal, [places.sites], authority)
    if shown:
        _show(comparison)
        say("\n".join(f"{name}: {path}" for name, path in files.items()))
        paths = {"--ca": authority, "--signers": signers, "--receipts": places.sites}
        options = [word for option, path in paths.items() for word in (option, str(path))]
        say(f"\n{command_line('hanse', 'audit', 'verify', str(journal), *options)}")
        audit.say_verdict(report)
    audit.conclude(journal, report)
    return {
        "directory": str(root),
        "rounds": view.history,
        "patients": comparison.examples,
        "scores": comparison.scores,
        "files": {name: str(path) for name, path in files.items()},
        "verified": True,
    }


async def _deploy(places: DemoPaths, loaded: LoadedPlan, view: View) -> dict[str, Path]:
    """Run the plan in a federation of real processes; the files that are brought home."""
    from hanse.algorithms.result_tables import tables
    from hanse.assembly.operator import control_client
    from hanse.cli.demo.hospitals import enrol, found, open_hospital
    from hanse.cli.demo.processes import Children
    from hanse.cli.watch.follow import follow, must_be_finished, warn_of_retry
    from hanse.control.submission import export_run, submit_plan
    from hanse.demo.files import HOSPITALS

    hospitals = sorted(HOSPITALS)
    async with Children() as children:
        settings = found(places)
        arguments = ["aggregator", "start", str(places.federation.absolute())]
        aggregator = await children.start("the aggregator", arguments, places.log("aggregator"))
        for hospital in hospitals:
            open_hospital(places, hospital, settings, loaded.manifest.plan.name)
        view.tell(await aggregator.first_line(_START_S))
        await enrol(places, hospitals)
        view.tell(f"{', '.join(hospitals)} joined, each with a one-time token")
        for hospital in hospitals:
            arguments = ["collaborator", "start", "--site", str(places.site(hospital).absolute())]
            await children.start(hospital, arguments, places.log(hospital))

        async def run() -> dict[str, Path]:
            async with control_client(places.federation, on_retry=warn_of_retry) as client:
                submitted = await submit_plan(client, loaded)
                must_be_finished(await follow(client, submitted.run_id, view))
                return (await export_run(client, submitted.run_id, places.results, tables)).files

        return await children.while_all_live(run())


def _show(comparison: Comparison) -> None:
    from hanse.cli.comparison import show
    from hanse.demo.comparison import NOTE, TITLES

    known = comparison.metrics
    show(comparison, {name: title for name, title in TITLES.items() if name in known}, "held-out patients")
    say(f"\n{NOTE}\n")
