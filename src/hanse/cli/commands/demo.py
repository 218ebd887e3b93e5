"""`hanse demo`: a whole federation on this machine, on real data, in real processes."""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import asdict, dataclass
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
_SEEN = "cleveland"
"""The hospital of which is shown what the aggregator saw."""


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
    secure: Annotated[
        bool,
        typer.Option(
            "--secure", help="Sum by secure aggregation, and show what the aggregator saw of one hospital."
        ),
    ] = False,
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
        summary = _run(root, Wanted(learner, rounds, secure), shown=not json)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
    if json:
        say_json(summary)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Choices of the command line."""

    learner: Library
    rounds: int | None
    secure: bool


def _check_installed(learner: Library) -> None:
    from importlib.util import find_spec

    from hanse.learners.installed import install_command, requirement_of_extra

    if find_spec(learner) is None:
        requirement = requirement_of_extra(learner)
        raise ConfigError(
            f"`--learner {learner}` needs {requirement}, which is not installed in {sys.prefix}",
            mend=f"Install it: {install_command(requirement)}",
        )


def _run(root: Path, wanted: Wanted, *, shown: bool) -> dict[str, Any]:
    """Do all of it; what came of it, as JSON."""
    from hanse.assembly.demo import compare_model, write_demo_plan
    from hanse.cli.commands import audit
    from hanse.cli.demo.hospitals import DemoPaths
    from hanse.cli.demo.seen import seen_of
    from hanse.cli.demo.seen import show as show_seen
    from hanse.cli.watch.live import View

    places, view = DemoPaths(root), View(shown=shown)
    loaded = write_demo_plan(places.plan, wanted.learner, wanted.rounds, secure=wanted.secure)
    files = asyncio.run(_deploy(places, loaded, view, secure=wanted.secure))
    comparison = compare_model(loaded, files["model"])
    journal, authority, signers = files["journal"], places.authority, places.signers
    report = audit.examine(journal, authority, signers, places.seen if wanted.secure else None)
    audit.hold_against_receipts(report, journal, [places.sites], authority)
    seen = seen_of(report, _SEEN, "train", places.seen) if wanted.secure else None
    if shown:
        _show(comparison)
        if seen is not None:
            from hanse.demo.comparison import NOTE_ON_MASKED_METRICS

            say(f"{NOTE_ON_MASKED_METRICS}\n")
            show_seen(seen)
        say("\n".join(f"{name}: {path}" for name, path in files.items()))
        paths = {"--ca": authority, "--signers": signers, "--receipts": places.sites}
        paths |= {"--blobs": places.seen} if wanted.secure else {}
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
        **({} if seen is None else {"seen": asdict(seen)}),
    }


async def _deploy(places: DemoPaths, loaded: LoadedPlan, view: View, *, secure: bool) -> dict[str, Path]:
    """Run the plan in a federation of real processes; the files that are brought home."""
    from hanse.cli.demo.hospitals import Hospital, check_each_other, enrol, found
    from hanse.cli.demo.kept_blobs import keep_blobs
    from hanse.cli.demo.processes import Children
    from hanse.demo.files import HOSPITALS

    names = sorted(HOSPITALS)
    async with Children() as children:
        settings = found(places)
        arguments = ["aggregator", "start", str(places.federation.absolute())]
        aggregator = await children.start("the aggregator", arguments, places.log("aggregator"))
        plan = loaded.manifest.plan.name
        hospitals = [Hospital(name, places.site(name), settings, plan) for name in names]
        for hospital in hospitals:
            hospital.open()
        view.tell(await aggregator.first_line(_START_S))
        keys = await enrol(places, names)
        view.tell(f"{', '.join(names)} joined, each with a one-time token")
        if secure:
            check_each_other(hospitals, keys)
            view.tell("each has the signing keys of the others, from their folders; people would telephone")
        for hospital in hospitals:
            arguments = ["collaborator", "start", "--site", str(hospital.directory.absolute())]
            await children.start(hospital.name, arguments, places.log(hospital.name))
        keeping = asyncio.ensure_future(keep_blobs(places.federation, places.seen)) if secure else None
        try:
            return await children.while_all_live(_follow(places, loaded, view))
        finally:
            if keeping is not None:
                keeping.cancel()


async def _follow(places: DemoPaths, loaded: LoadedPlan, view: View) -> dict[str, Path]:
    """Submit the plan, follow its run to the end, and fetch its files."""
    from hanse.algorithms.result_tables import tables
    from hanse.assembly.operator import control_client
    from hanse.cli.watch.follow import follow, must_be_finished, warn_of_retry
    from hanse.control.submission import export_run, submit_plan

    async with control_client(places.federation, on_retry=warn_of_retry) as client:
        submitted = await submit_plan(client, loaded)
        must_be_finished(await follow(client, submitted.run_id, view))
        return (await export_run(client, submitted.run_id, places.results, tables)).files


def _show(comparison: Comparison) -> None:
    from hanse.cli.comparison import show
    from hanse.demo.comparison import NOTE, TITLES

    known = comparison.metrics
    show(comparison, {name: title for name, title in TITLES.items() if name in known}, "held-out patients")
    say(f"\n{NOTE}\n")
