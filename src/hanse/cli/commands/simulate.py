"""`hanse simulate`: a plan, or a training script as it is, with virtual sites on this machine."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import Json
from hanse.cli.output import say, say_json, warn

if TYPE_CHECKING:
    from hanse.assembly.simulation import Simulation
    from hanse.assembly.simulation_results import ResultFolder
    from hanse.core.run.run import Run
    from hanse.simulation.partition import Partition
    from hanse.simulation.simulate import Outcome, VirtualSite

app = typer.Typer(rich_markup_mode=None, add_completion=False)

PlanOrScript = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN.yaml|SCRIPT.py", help="A plan; or a training script with a loop over hanse.rounds."
    ),
]
Sites = Annotated[
    int | None,
    typer.Option(
        min=1, max=10_000, help="Number of sites, named site-1, site-2, ..., that share one data set."
    ),
]
SiteNames = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A site with this name and data of its own; once for each site."),
]
SiteFolders = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Each folder in DIR is a site: its name, and its data root. A plan's data sources are found "
        "there by their names (NAME, NAME.csv); the only source of a plan may be the folder itself.",
    ),
]
DataSources = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=PATH]",
        help="A data source of every site; {site} in PATH is the name of the site, and a path that each "
        "site's data root has is that one. Without PATH it is found in the data root by its name.",
    ),
]
DataRoot = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="The data root of every site; {site} in DIR is the name of the site."),
]
Dealing = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="How site.share(labels) deals a shared data set out: iid, dirichlet:ALPHA (each label in "
        "proportions of its own), quantity:ALPHA (parts of different sizes), shards:K (K pieces of the "
        "data sorted by label), column:NAME (by the values of a column, for site.share(labels, table)). "
        "Not given: iid with --sites, and no dealing with --site and --site-data.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option(min=1, max=1_000_000, help="Rounds; not given, those of the plan, 5 for a script."),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**53 - 1, help="Seed; not given, that of the plan, 0 for a script."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write model.safetensors, best.safetensors and metrics.json there, after each round, and the "
        "workflow's results at the end: results/NAME.npz, and results/NAME.csv of those that are tables. A "
        "folder that has such files already is refused.",
    ),
]
SavePlan = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write down the plan that is run, as a file beside its code."),
]
Engine = Annotated[
    str,
    typer.Option(
        help="inline: the sites one after another, in this process; up to 8 sites of a script in one each."
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        max=4096,
        help="Threads of linear algebra at each site. The bits of a model depend on their number: a deployed "
        "run has those of a simulation where each site.yaml has the same, as worker: {threads: 1}.",
    ),
]
Code = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE|FOLDER|GLOB",
        help="Of a script: files beside it that belong to its code, besides the modules that it imports.",
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="ARGUMENT", help="After --: arguments of the script, in place of the plan's."),
]
Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines",
        help="After the run, train each site alone, and a model of all data where the learner can pool them "
        "or the sites share them; print a table of all models at all sites.",
    ),
]


@app.command()
def simulate(
    path: PlanOrScript,
    sites: Sites = None,
    site: SiteNames = None,
    site_data: SiteFolders = None,
    data: DataSources = None,
    data_root: DataRoot = None,
    partition: Dealing = None,
    rounds: Rounds = None,
    seed: Seed = None,
    output: Output = None,
    save_plan: SavePlan = None,
    baselines: Baselines = False,
    engine: Engine = "inline",
    threads: Threads = 1,
    code: Code = None,
    arguments: Arguments = None,
    json: Json = False,
) -> None:
    """Run a plan, or a training script as it is, with virtual sites.

    One of --sites, --site and --site-data says which sites there are. Nothing is kept
    unless --output or --save-plan is given, and nothing runs on after the command has ended.
    Arguments of the script stand at the end, after --: hanse simulate train.py --sites 3 -- --lr 0.1
    """
    from hanse.assembly.simulation import prepare, save_before
    from hanse.assembly.simulation_results import ResultFolder
    from hanse.simulation.baselines import MOST_SITES
    from hanse.simulation.simulate import check_engine

    check_engine(engine)
    places = _places(sites, site or (), site_data, data or (), data_root)
    if baselines and len(places) > MOST_SITES:
        raise typer.BadParameter(f"--baselines compares all sites: there may be {MOST_SITES}")
    dealt = _partition(partition, shared=sites is not None)
    prepared = prepare(
        *(path, places, dealt, rounds, seed),
        engine=engine,
        threads=threads,
        code=code or (),
        arguments=arguments or (),
    )
    results = None if output is None else ResultFolder(output)
    if save_plan is not None:
        prepared = save_before(prepared, save_plan, warn)
    outcome, summary = _run(prepared, results, save_plan, silent=json, baselines=baselines)
    if json:
        say_json(summary)
    else:
        _show(outcome, prepared)
        say(_kept(results, save_plan, _writable(prepared, outcome)))
        for warning in summary["warnings"]:
            warn(warning)
    _warn(outcome, prepared.partition)


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


def _partition(text: str | None, *, shared: bool) -> Partition | None:
    from hanse.simulation.partition import Partition

    if text is not None:
        return Partition.parse(text)
    return Partition() if shared else None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take the end of a batch job or of a terminal as Ctrl-C: results are kept, and no process stays."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in usual:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in usual:
            signal.signal(one, signal.SIG_DFL)


def _run(
    prepared: Simulation, results: ResultFolder | None, plan: Path | None, *, silent: bool, baselines: bool
) -> tuple[Outcome, dict[str, Any]]:
    """Run a simulation, and write its results after each round; the outcome, and its summary."""
    from hanse.assembly.simulation import finished, run, save_after, summarise
    from hanse.cli.watch.live import View
    from hanse.core.run.events import Event
    from hanse.core.run.run_events import PlanAnswered, RunFailed, RunFinished, RunStarted, RunSubmitted
    from hanse.errors import HanseError

    # That virtual sites accept the plan need not be told, and a failure is told as the command's error.
    expected = (RunSubmitted, PlanAnswered, RunStarted, RunFailed)
    view = View(shown=not silent, in_turn=True)
    latest: Run | None = None
    if not silent:
        say(_heading(prepared))

    def listen(now: Run, event: Event) -> None:
        nonlocal latest
        latest = now
        view.event(event, silent=isinstance(event, expected))
        if baselines and isinstance(event, RunFinished):
            view.tell("training the baselines: each site alone, and all data where they can be pooled")

    def write(now: Run, tensors: Any = None, **changes: Any) -> None:
        if results is not None:
            results.write(now, tensors, summarise(prepared, now, view.history) | changes)

    try:
        # What the plan's code prints is not to stand amid the JSON.
        with _interruptible(), redirect_stdout(sys.stderr) if silent else nullcontext(), view:
            outcome = run(prepared, listen, warn, write, baselines=baselines)
    except (HanseError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        done = 0 if latest is None else max(latest.committed, 0)
        if latest is not None and done:
            write(latest, **({"phase": "stopped"} if interrupted else {}))
        if interrupted or done or plan:
            rounds = f"{done} of {prepared.loaded.manifest.plan.rounds} rounds"
            saved = plan if plan is not None and plan.exists() else None
            kept = _kept(results, saved, _writable(prepared))
            typer.echo(f"ended early, with {rounds} done\n{kept}", err=True)
        raise
    prepared = finished(prepared, outcome)
    if plan is not None:
        save_after(prepared, plan)
    if results is not None:
        results.write_results(prepared.loaded.manifest.plan, outcome.results)
    write(outcome.run, **_compared(outcome))
    files = {} if results is None else {"files": results.files}
    return outcome, summarise(prepared, outcome.run, view.history) | _compared(outcome) | files


def _writable(prepared: Simulation, outcome: Outcome | None = None) -> str:
    """Names of the things that --output writes of a simulation."""
    from hanse.core.values.wording import named

    plan = prepared.loaded.manifest.plan
    model = [] if plan.first_model == "none" else ["the model"]
    results = ["the results"] if outcome is not None and outcome.results else []
    return named([*model, "the metrics", *results])


def _kept(results: ResultFolder | None, plan: Path | None, writable: str) -> str:
    """The files that are left of a simulation, a line each."""
    files = {} if results is None else results.files
    kept = [*([f"plan: {plan}"] if plan else []), *(f"{what}: {file}" for what, file in files.items())]
    if results is None:
        what = "nothing else" if plan else "nothing"
        kept.append(f"{what} was kept; --output DIR writes {writable}")
    elif not files:
        kept.append("no round was done, so that there is nothing to keep")
    return "\n".join(kept)


def _compared(outcome: Outcome) -> dict[str, Any]:
    """The comparison with baselines as JSON."""
    found = outcome.comparison
    if found is None:
        return {}
    models = {
        model: {"sites": by_site, "all": {name: found.mean(model, name) for name in found.metrics}}
        for model, by_site in found.scores.items()
    }
    return {"baselines": {"examples": dict(found.examples), "models": models}}


def _show(outcome: Outcome, prepared: Simulation) -> None:
    """Print the model beside its baselines, a table a metric."""
    if outcome.comparison is None:
        return
    from hanse.cli.comparison import show
    from hanse.control.timeline import in_order

    script = prepared.loaded.manifest.plan.script
    show(
        outcome.comparison,
        {name: name for name in in_order(outcome.comparison.metrics)},
        "held-out examples" if script is None else "examples reported",
    )
    say("".join(f"\n{note}\n" for note in outcome.comparison.notes))


def _heading(prepared: Simulation) -> str:
    plan = prepared.loaded.manifest.plan
    names = [site.name for site in prepared.sites]
    shown = ", ".join(names) if len(names) <= 8 else f"{names[0]} to {names[-1]}"
    return "\n".join(
        [
            f"{plan.script or plan.name}: workflow {plan.workflow}, rounds {plan.rounds}, seed {plan.seed}, "
            f"{len(names)} site{'s' if len(names) > 1 else ''}: {shown}",
            *(
                f"{name} discloses {_disclosed(task.discloses, open_ended=prepared.is_script)}"
                for name, task in plan.tasks.items()
            ),
        ]
    )


def _disclosed(disclosure: Any, *, open_ended: bool) -> str:
    update = {"none": "no update", "aggregate": "the sum of the updates", "individual": "each site's update"}
    metrics = ["the metrics that the script reports"] if open_ended else disclosure.metrics
    rules = {g: rule if isinstance(rule, str) else rule.rule for g, rule in disclosure.groups.items()}
    groups = [
        f"each site's {group}" if rule == "individual" else f"the {rule.replace('_', ' ')} of {group}"
        for group, rule in rules.items()
    ]
    told = [] if disclosure.update == "none" and groups else [update[disclosure.update]]
    return ", ".join([*told, *groups, *metrics])


def _warn(outcome: Outcome, dealing: Partition | None) -> None:
    for name, error in outcome.failed_ends.items():
        warn(f"after the last round, at {name}: {error}")
    if dealing is not None and not outcome.dealt:
        warn(
            "no data was divided: the code asks no site for its share, by site.share(labels). "
            "Unless the code reads the name of the site, all sites had the same data."
        )
