"""`hanse simulate`: a plan, or a training script as it is, with virtual sites on this machine."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import Json
from hanse.cli.output import say, say_json, warn
from hanse.errors import PlanError

if TYPE_CHECKING:
    from hanse.config.load import LoadedPlan
    from hanse.core.values.parameters import Parameters
    from hanse.simulation.partition import Partition
    from hanse.simulation.simulate import Outcome, VirtualSite

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SCRIPT_ROUNDS = 5
"""Rounds of a script, where no number is given."""


@app.command()
def simulate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN.yaml|SCRIPT.py", help="A plan; or a training script with a loop over hanse.rounds."
        ),
    ],
    sites: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="So many sites, named site-1, site-2, ..., that share one data set."
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A site with this name and data of its own; once for each site."),
    ] = None,
    site_data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Each folder in DIR is a site: its name, and the root of its own data."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH", help="A data source of every site; {site} in PATH is the name of the site."
        ),
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="The data root of every site; {site} in DIR is the name of the site."
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            metavar="iid|dirichlet:ALPHA",
            help="How site.share(labels) deals a shared data set out. Not given: iid with --sites, and no "
            "dealing with --site and --site-data.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help=f"Rounds; not given, those of the plan, {SCRIPT_ROUNDS} for a script.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**53 - 1, help="Seed; not given, that of the plan, 0 for a script."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write model.safetensors, best.safetensors and metrics.json there."),
    ] = None,
    save_plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write down the plan that is run, as a file beside its code."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="inline: the sites one after another, in this process.")
    ] = "inline",
    json: Json = False,
) -> None:
    """Run a plan, or a training script as it is, with virtual sites.

    One of --sites, --site and --site-data says which sites there are. Nothing is kept
    unless --output names a folder, and nothing runs on after the command has ended.
    """
    from hanse.simulation.simulate import check_engine

    check_engine(engine)
    places = _places(sites, site or (), site_data, data or (), data_root)
    loaded = _load(path, rounds, seed, places)
    dealing = _partition(partition, shared=sites is not None)
    if save_plan is not None:
        _save_plan(loaded, save_plan, path)
    if output is not None:
        _make(output)
    outcome, history = _run(loaded, places, dealing, engine=engine, silent=json)
    summary = _summary(loaded, outcome, history)
    if output is not None:
        summary["files"] = _write(output, outcome, summary)
    if json:
        say_json(summary)
    elif output is None:
        say("nothing was kept; --output DIR writes the model and the metrics")
    else:
        say("\n".join(f"{what}: {file}" for what, file in summary["files"].items()))
    _warn(outcome, dealing)


def _places(
    count: int | None, names: Sequence[str], folder: Path | None, data: Sequence[str], root: str | None
) -> list[VirtualSite]:
    from hanse.simulation.sites import counted, in_folders, named, with_data

    if [count is not None, bool(names), folder is not None].count(True) != 1:
        raise typer.BadParameter("which sites? Give one of --sites N, --site NAME and --site-data DIR")
    if count is not None:
        return with_data(counted(count), data, root)
    if folder is None:
        return with_data(named(names), data, root)
    if root is not None:
        raise typer.BadParameter("--site-data says where each site's data root is; leave --data-root out")
    return with_data(in_folders(folder), data)


def _load(path: Path, rounds: int | None, seed: int | None, places: Sequence[VirtualSite]) -> LoadedPlan:
    from hanse.config.load import load_plan, script_plan
    from hanse.simulation.simulate import with_settings

    if path.suffix != ".py":
        return with_settings(load_plan(path), rounds=rounds, seed=seed)
    script = script_plan(path, rounds=rounds or SCRIPT_ROUNDS, seed=seed or 0, sites=len(places))
    return with_settings(script, data=sorted(places[0].data))


def _partition(text: str | None, *, shared: bool) -> Partition | None:
    from hanse.simulation.partition import Partition

    if text is not None:
        return Partition.parse(text)
    return Partition() if shared else None


def _save_plan(loaded: LoadedPlan, file: Path, source: Path) -> None:
    from hanse.config.write import to_yaml
    from hanse.files.errors import file_errors

    if file.absolute().parent.resolve() != loaded.root.resolve():
        raise PlanError(
            f"{file} is not beside the code of {source}, where a plan looks for it",
            mend=f"Save it as {loaded.root / file.name}.",
        )
    with file_errors(f"write {file}"), file.open("x", encoding="utf-8") as out:
        out.write(f"# What `hanse simulate {source.name}` ran.\n{to_yaml(loaded.manifest.plan)}")


def _make(output: Path) -> None:
    from hanse.files.errors import file_errors

    with file_errors(f"make the folder {output}"):
        output.mkdir(parents=True, exist_ok=True)


def _run(
    loaded: LoadedPlan,
    places: Sequence[VirtualSite],
    dealing: Partition | None,
    *,
    engine: str,
    silent: bool,
) -> tuple[Outcome, list[dict[str, Any]]]:
    from hanse.cli.watch.live import View
    from hanse.core.run.events import Event
    from hanse.core.run.run import Run
    from hanse.core.run.run_events import PlanAnswered, RunFailed, RunStarted, RunSubmitted
    from hanse.simulation.simulate import Settings, simulate

    # That virtual sites accept the plan need not be told, and a failure is told as the command's error.
    expected = (RunSubmitted, PlanAnswered, RunStarted, RunFailed)
    if not silent:
        say(_heading(loaded, places))
    with (
        tempfile.TemporaryDirectory(prefix="hanse-") as folder,
        # What the plan's code prints is not to stand amid the JSON.
        redirect_stdout(sys.stderr) if silent else nullcontext(),
        View(shown=not silent) as view,
    ):

        def listen(_: Run, event: Event) -> None:
            view.event(event, silent=isinstance(event, expected))

        settings = Settings(Path(folder), int(time.time() * 1000), dealing, engine)
        return simulate(loaded, places, settings, listen), view.history


def _heading(loaded: LoadedPlan, places: Sequence[VirtualSite]) -> str:
    plan = loaded.manifest.plan
    names = [site.name for site in places]
    shown = ", ".join(names) if len(names) <= 8 else f"{names[0]} to {names[-1]}"
    return "\n".join(
        [
            f"{plan.script or plan.name}: workflow {plan.workflow}, rounds {plan.rounds}, seed {plan.seed}, "
            f"{len(names)} site{'s' if len(names) > 1 else ''}: {shown}",
            *(f"{name} discloses {_disclosed(task.discloses)}" for name, task in plan.tasks.items()),
        ]
    )


def _disclosed(disclosure: Any) -> str:
    update = {"none": "no update", "aggregate": "the sum of the updates", "individual": "each site's update"}
    return ", ".join([update[disclosure.update], *disclosure.metrics])


def _summary(loaded: LoadedPlan, outcome: Outcome, history: list[dict[str, Any]]) -> dict[str, Any]:
    plan, run, best = loaded.manifest.plan, outcome.run, outcome.run.best
    return {
        "plan": {"name": plan.name, "digest": loaded.digest, "seed": plan.seed},
        "phase": run.phase.value,
        "short_rounds": run.attendance.short_rounds,
        "suspended": {site: found.reason for site, found in sorted(run.failure_record.suspensions.items())},
        "rounds": history,
        "model": None if run.model is None else run.model.digest,
        "best": None if best is None else {"round": best.round_number, "model": best.model.digest},
    }


def _write(output: Path, outcome: Outcome, summary: dict[str, Any]) -> dict[str, str]:
    from hanse.files.errors import file_errors
    from hanse.wire.tensors import write_file

    files: dict[str, str] = {}
    models: dict[str, Parameters | None] = {"model": outcome.model, "best": outcome.best}
    for name, parameters in models.items():
        if parameters is not None:
            file = output / f"{name}.safetensors"
            write_file(file, parameters)
            files[name] = str(file)
    metrics = output / "metrics.json"
    with file_errors(f"write {metrics}"):
        metrics.write_text(dumps(summary, indent=2) + "\n", encoding="utf-8")
    return files | {"metrics": str(metrics)}


def _warn(outcome: Outcome, dealing: Partition | None) -> None:
    for name, error in outcome.failed_ends.items():
        warn(f"after the last round, at {name}: {error}")
    if dealing is not None and not outcome.dealt:
        warn(
            "no data was dealt out: the code asks no site for its share, by site.share(labels). "
            "Unless it tells the sites apart by itself, all of them had the same data."
        )
