"""`hanse run`: submit plans to a federation, watch their runs, and bring home what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hanse.cli.options import FEDERATION, FederationDirectory, Json, seconds
from hanse.cli.output import command_line, note, say, say_json, say_table, warn
from hanse.core.values.wording import and_more, format_time, in_phase, named

if TYPE_CHECKING:
    from hanse.control.client import ControlClient
    from hanse.control.submission import RunOptions
    from hanse.wire.messages.runs import RunStatus

T = TypeVar("T")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run; `hanse run list` names them.")]
SuspendedSite = Annotated[str, typer.Argument(metavar="SITE", help="A suspended site.")]
Watch = Annotated[bool, typer.Option("--watch", help="Stay and show the run until it ends.")]


@app.callback()
def _run() -> None:
    """Submit plans to a federation; watch, stop, resume, draw and export their runs."""


@app.command()
def submit(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="The plan.")],
    watch: Watch = False,
    sites: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Ask these sites only. Unset: all, and those that join later."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run. Unset: that of the plan, with a number.")
    ] = None,
    wait: Annotated[
        str, typer.Option(help="How long to try to reach the aggregator, such as 30s or 10m.")
    ] = "1m",
    directory: FederationDirectory = FEDERATION,
    json: Json = False,
) -> None:
    """Submit a plan with its code; its run begins once enough sites have accepted it.

    Prints the id of the run, and on the standard error what may hold it up: too few sites, or sites
    that are not connected.
    """
    from hanse.assembly.plan_file import load_plan
    from hanse.cli.watch.follow import follow, must_be_finished
    from hanse.cli.watch.live import View
    from hanse.control.submission import submit_plan
    from hanse.core.plan.policy import default_refusals
    from hanse.wire.wording import submission_warnings

    options = _options(name, sites, wait)
    loaded = load_plan(plan)
    warnings = list(default_refusals(loaded.manifest.plan))
    if not json:
        for warning in warnings:
            warn(warning)

    async def do(client: ControlClient) -> RunStatus:
        status = await submit_plan(client, loaded, options)
        held_up = submission_warnings(status)
        warnings.extend(held_up)
        if not json:
            say(status.run_id)
            for warning in held_up:
                warn(warning)
        return await follow(client, status.run_id, View(shown=not json)) if watch else status

    status = _ask(directory, do)
    if json:
        say_json({**status.model_dump(mode="json"), "warnings": warnings})
    if not watch:
        note(f"Follow it with: {_command('watch', status.run_id, directory)}")
    else:
        must_be_finished(status, _command("resume", status.run_id, directory))


def _options(name: str | None, sites: str | None, wait: str) -> RunOptions:
    from hanse.control.submission import RunOptions
    from hanse.core.values.identity import check_name

    chosen = None if sites is None else [site.strip() for site in sites.split(",") if site.strip()]
    if chosen is not None and not chosen:
        raise typer.BadParameter("--sites names no site; write for example --sites north,south")
    return RunOptions(
        name=None if name is None else check_name(name),
        sites=None if chosen is None else tuple(check_name(site) for site in chosen),
        wait_s=seconds(wait),
    )


@app.command("list")
def list_(directory: FederationDirectory = FEDERATION, json: Json = False) -> None:
    """List the runs, newest first."""
    runs = _ask(directory, lambda client: client.runs()).runs
    if json:
        say_json([run.model_dump(mode="json") for run in runs])
        return
    say_table(
        ("RUN", "PLAN", "STATE", "ROUND", "SUBMITTED", "BY", "REMARKS"),
        [
            (
                run.run_id,
                f"{run.plan_name} ({run.plan_digest[:12]})",
                run.phase,
                f"{run.rounds_committed}/{run.rounds}",
                format_time(run.submitted_ms),
                run.submitted_by,
                _remarks(run),
            )
            for run in runs
        ],
    )


@app.command()
def watch(run: RunId, directory: FederationDirectory = FEDERATION, json: Json = False) -> None:
    """Show a run until it ends: each round, and who is waited for, since when and until when.

    Ends with 0 where the run finished, with 5 where it failed or was stopped. Ctrl-C ends
    the watching only. With --json it waits in silence and prints how the run then stands.
    """
    from hanse.cli.watch.follow import follow, must_be_finished
    from hanse.cli.watch.live import View

    try:
        status = _ask(directory, lambda client: follow(client, run, View(shown=not json)))
    except KeyboardInterrupt:
        note(f"The run continues; {_command('watch', run, directory)} shows it again.")
        raise
    if json:
        say_json(status.model_dump(mode="json"))
    must_be_finished(status, _command("resume", run, directory))


@app.command()
def status(run: RunId, directory: FederationDirectory = FEDERATION, json: Json = False) -> None:
    """Show the state of a run, and the sites that it waits for."""
    found = _ask(directory, lambda client: client.run(run))
    if json:
        say_json(found.model_dump(mode="json"))
    else:
        _say_status(found)


@app.command()
def stop(
    run: RunId,
    reason: Annotated[
        str, typer.Option(help="A sentence for the journal, which all parties can read.")
    ] = "stopped by an operator",
    directory: FederationDirectory = FEDERATION,
    json: Json = False,
) -> None:
    """End a run now, without waiting for any site; committed rounds stay, and the run can be resumed."""
    _say_short(_ask(directory, lambda client: client.stop(run, reason)), as_json=json)


@app.command()
def resume(
    run: RunId, watch: Watch = False, directory: FederationDirectory = FEDERATION, json: Json = False
) -> None:
    """Resume a stopped or failed run where it stood."""
    from hanse.cli.watch.follow import follow, must_be_finished
    from hanse.cli.watch.live import View

    async def do(client: ControlClient) -> RunStatus:
        resumed = await client.resume(run)
        return await follow(client, run, View(shown=not json)) if watch else resumed

    found = _ask(directory, do)
    if json or not watch:
        _say_short(found, as_json=json)
    if watch:
        must_be_finished(found, _command("resume", run, directory))


@app.command()
def reinstate(
    run: RunId, site: SuspendedSite, directory: FederationDirectory = FEDERATION, json: Json = False
) -> None:
    """Reinstate a suspended site: it is asked again from the next round on.

    `hanse run status` says which sites are suspended and why; without this, the plan's `rest` decides.
    """
    found = _ask(directory, lambda client: client.reinstate(run, site))
    if json:
        say_json(found.model_dump(mode="json"))
    else:
        say(f"{site} is reinstated in run {run}; it is asked from the next round on")


@app.command()
def admit(
    run: RunId,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    reason: Annotated[str, typer.Option(help="Why, for the journal, which all parties can read.")],
    directory: FederationDirectory = FEDERATION,
    json: Json = False,
) -> None:
    """Permit that another instance of a site gets the keys of a sealed run, once.

    One start of a site's agent has the keys of a run. A second gets none by itself, since a copy of the
    site on another machine looks the same: ask the site first if it has restarted its agent.
    """
    found = _ask(directory, lambda client: client.admit(run, site, reason))
    if json:
        say_json(found.model_dump(mode="json"))
    else:
        say(f"the next instance of {site} gets the keys of run {run}")


@app.command("take-back", hidden=True)
def take_back(
    run: RunId, site: SuspendedSite, directory: FederationDirectory = FEDERATION, json: Json = False
) -> None:
    """Reinstate a suspended site, by the name that this command had before."""
    warn("`hanse run take-back` is now `hanse run reinstate`; the next minor version removes the old name")
    reinstate(run, site, directory, json)


@app.command()
def export(
    run: RunId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write to; made. Unset: ./RUN."),
    ] = None,
    directory: FederationDirectory = FEDERATION,
    json: Json = False,
) -> None:
    """Write what is left of a run.

    Its journal, for `hanse audit`, its plan, its last and best model as far as there are, and its
    results: results/NAME.npz with all arrays, and results/NAME.csv of those that are tables.
    """
    from hanse.algorithms.result_tables import tables
    from hanse.control.submission import export_run

    folder = output or Path(run)
    export = _ask(directory, lambda client: export_run(client, run, folder, tables))
    if json:
        say_json({name: str(path) for name, path in export.files.items()})
    else:
        say("\n".join(f"{name}: {path}" for name, path in export.files.items()))
    if remark := _export_remark(export.status):
        warn(remark)
    if any(path.suffix == ".sealed" for path in export.files.values()):
        warn("the files *.sealed open with the key of their owner: hanse unseal FILE --key owner.key -o OUT")


@app.command()
def plot(
    run: RunId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="PNG, SVG or PDF, by the end of its name. Unset: ./RUN.png.",
        ),
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="curves (the metrics by round), sites (one small picture for each site), results (survival "
            "curves, coefficients, histograms), examples (how many each site worked on), or all of these.",
        ),
    ] = "all",
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Metric of the small pictures. Unset: the loss, or the first."),
    ] = None,
    directory: FederationDirectory = FEDERATION,
) -> None:
    """Draw a run, as far as it is: its metrics and results; needs matplotlib: pip install 'hanse[plot]'."""
    from hanse.algorithms.result_tables import tables
    from hanse.cli.watch.journal import read_run
    from hanse.control.submission import read_tables
    from hanse.plots.figure import check_ending, draw, write

    file = output or Path(f"{run}.png")
    check_ending(file)
    record = _ask(directory, lambda client: read_run(client, run))
    record.tables = _ask(directory, lambda client: read_tables(client, run, tables))
    write(draw(record, only, metric), file)
    say(f"picture: {file}")


def _command(verb: str, run: str, directory: Path) -> str:
    """A command about a run, as a person can paste it."""
    where = [] if directory == FEDERATION else ["-d", str(directory)]
    return command_line("hanse", "run", verb, run, *where)


def _ask(directory: Path, what: Callable[[ControlClient], Awaitable[T]]) -> T:
    from hanse.assembly.operator import control_client
    from hanse.cli.watch.follow import warn_of_retry

    async def ask() -> T:
        async with control_client(directory, on_retry=warn_of_retry) as client:
            return await what(client)

    return asyncio.run(ask())


def _export_remark(status: RunStatus) -> str:
    """Name what an export lacks that is not of a finished run; empty for nothing."""
    if status.expired:
        return f"the models of run {status.run_id} are not kept any more; its journal and plan are"
    if status.phase == "finished":
        return ""
    committed = f"{status.rounds_committed} of {status.rounds} rounds"
    lacks = "" if status.model is not None else "; there is no model yet"
    after = "; export it again when it has finished" if status.phase in ("submitted", "running") else ""
    return f"run {status.run_id} {in_phase(status.phase)}, with {committed} committed{lacks}{after}"


def _remarks(status: RunStatus) -> str:
    """What an operator should look at, in a few words."""
    from hanse.wire.wording import format_short_rounds

    held = "the aggregator waits for an operator" if status.held else ""
    aside = f"{named([found.site for found in status.suspended])} suspended" if status.suspended else ""
    return "; ".join(filter(None, [held, aside, format_short_rounds(status.short_rounds)])) or "-"


def _say_short(status: RunStatus, *, as_json: bool) -> None:
    if as_json:
        say_json(status.model_dump(mode="json"))
    else:
        say(f"run {status.run_id} {in_phase(status.phase)}, with {status.rounds_committed} rounds committed")


def _say_status(status: RunStatus) -> None:
    from hanse.control.timeline import figure, in_order
    from hanse.wire.wording import HELD, format_awaited, format_cell, format_waits

    submitted = f"submitted by {status.submitted_by} {format_time(status.submitted_ms)}"
    say(f"run        {status.run_id}, {submitted}")
    say(f"plan       {status.plan_name}, SHA-256 {status.plan_digest}")
    say(f"state      {status.phase}{f': {status.reason}' if status.reason else ''}")
    if status.held:
        say(f"WARNING    {HELD}")
    opened = f", round {status.round_open} open" if status.round_open else ""
    say(f"rounds     {status.rounds_committed} of {status.rounds} committed{opened}")
    if status.metrics:
        say("metrics    " + ", ".join(f"{n} {figure(status.metrics[n])}" for n in in_order(status.metrics)))
    for model, name in ((status.model, "model"), (status.best_model, f"best, round {status.best_round}")):
        if model is not None:
            say(f"model      {model.digest} ({name})")
    if status.results:
        say(f"results    {', '.join(sorted(status.results))}")
    answers = [f"{site} {answer}" for site, answer in status.answers.items()]
    count = sum(status.answer_counts.values())
    say("sites      " + (", ".join(and_more(answers, len(answers), count)) or "none yet"))
    _say_attendance(status)
    for wait in format_waits(status):
        say(f"waits for  {wait}")
    for cell in status.cells:
        say(f"cell       {format_cell(cell)}")
    for awaited in status.awaited:
        if not awaited.needed:
            say(f"silent     {format_awaited(awaited)}")


def _say_attendance(status: RunStatus) -> None:
    """Print the sites that took part of late, and those that did not."""
    from hanse.wire.wording import format_absent, format_late, format_short_rounds, format_suspension

    for found in status.attendance:
        share = f"{found.answered} of {found.asked} answered"
        data = "in masked sums" if found.masked else f"{found.num_examples} examples"
        say(f"took part  round {found.round_number}, {found.task}: {share}, {data}")
        if absent := format_absent(found):
            say(f"{'WARNING' if found.too_little else 'missing':<9}  {absent}")
        if late := format_late(found):
            say(f"late       {late}")
    if short := format_short_rounds(status.short_rounds):
        say(f"WARNING    {short}: more was missing than the plan tolerates")
    for suspended in status.suspended:
        say(f"suspended  {suspended.site}: {format_suspension(suspended)}")
