"""`hanse plan`: what a plan would run, what changed in it, and whether this site takes part."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.options import SITE, Json, SiteDirectory
from hanse.cli.output import say, say_json, say_table, warn
from hanse.core.values.wording import counted, format_time, named

if TYPE_CHECKING:
    from hanse.assembly.plans import KnownPlan

app = typer.Typer(rich_markup_mode=None, add_completion=False)

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="The plan.")]
_A_PLAN = "A plan.yaml, or the beginning of the digest of a plan seen at the site."
Plan = Annotated[str, typer.Argument(metavar="PLAN", help=_A_PLAN)]
OldPlan = Annotated[str, typer.Argument(metavar="OLD", help=_A_PLAN)]
NewPlan = Annotated[str, typer.Argument(metavar="NEW", help=_A_PLAN)]
Decided = Annotated[
    str,
    typer.Argument(
        metavar="PLAN",
        help="The beginning of the plan's digest, see `hanse plan list`; or its plan.yaml, also before a run "
        "asks for it.",
    ),
]
Reason = Annotated[str, typer.Option(help="A sentence for the journal, which all parties can read.")]


@app.callback()
def _plan() -> None:
    """Check, read, compare, approve and reject plans."""


@app.command()
def check(plan: PlanFile, json: Json = False) -> None:
    """Check a plan with its code, and say what it would run; nothing is run."""
    from hanse.assembly.plan_file import load_plan
    from hanse.config.show import describe
    from hanse.core.plan.policy import default_refusals

    loaded = load_plan(plan)
    warnings = default_refusals(loaded.manifest.plan)
    if json:
        manifest = loaded.manifest.model_dump(mode="json")
        say_json({"digest": loaded.digest, "manifest": manifest, "warnings": list(warnings)})
        return
    say(describe(loaded.manifest, loaded.digest))
    say(f"{plan} is in order")
    for warning in warnings:
        warn(warning)


@app.command()
def show(plan: Plan, site: SiteDirectory = SITE, json: Json = False) -> None:
    """Show a plan: what it would run, what would leave a site, and every setting of it."""
    from hanse.assembly.plans import known_plan
    from hanse.config.show import describe
    from hanse.config.write import to_yaml

    found = known_plan(plan, site)
    if json:
        say_json(
            {"digest": found.digest, "manifest": found.manifest.model_dump(mode="json"), **_state(found)}
        )
        return
    say(describe(found.manifest, found.digest))
    say(f"Its settings\n{to_yaml(found.manifest.plan)}")
    say(f"Its code is in {found.code}")
    if found.here:
        say("\n  ".join(("This site in secure aggregation", *found.here)))
    if found.state:
        say(f"This site: {found.state}{f' ({found.reasons})' if found.reasons else ''}")


@app.command("list")
def list_(site: SiteDirectory = SITE, json: Json = False) -> None:
    """List the plans that this site has seen: those that wait for a person, and what was decided."""
    from hanse.assembly.plans import plans_of

    found = plans_of(site)
    if json:
        say_json([{"digest": plan.digest, "name": plan.name, **_state(plan)} for plan in found])
        return
    rows = [
        (plan.digest[:12], plan.name, plan.state, format_time(plan.decided_ms), ", ".join(plan.runs))
        for plan in found
    ]
    say_table(("PLAN", "NAME", "STATE", "DECIDED", "RUNS"), rows)


@app.command()
def cells(
    plan: PlanFile,
    sites: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The sites that take part: names, one a line, or a YAML list."),
    ],
    size: Annotated[
        int | None,
        typer.Option(min=3, max=64, help="Members of a cell. Unset: one cell up to 20 sites, else about 12."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write others than those that the plan has.")
    ] = False,
    json: Json = False,
) -> None:
    """Deal sites into cells, and write them into a plan file: masked sums are over whole cells.

    Sites are dealt by their names, so that the same list gives the same cells. All else in the file stays
    as it is, comments included.
    """
    from hanse.config.secure_sums.cells import write_cells

    written = write_cells(plan, sites, size, again=again)
    if json:
        say_json({"cells": {cell: list(members) for cell, members in written.cells.items()}})
        return
    say_table(
        ("CELL", "MEMBERS", "SITES"),
        [(cell, str(len(members)), ", ".join(members)) for cell, members in written.cells.items()],
    )
    say(f"{plan} has these cells now{', in the place of others' if written.replaced else ''}")
    if size is not None and size < written.fewest:
        warn(
            f"cells of {size} are smaller than the plan permits: by `cohort: {{minimum, cell_minimum}}` and "
            f"`colluders` a cell has at least {counted(written.fewest, 'member')}"
        )


@app.command()
def diff(old: OldPlan, new: NewPlan, site: SiteDirectory = SITE) -> None:
    """Show the changes from one plan to another, in settings and code."""
    from hanse.assembly.plans import known_plan
    from hanse.config.diff import diff_manifests

    before, after = known_plan(old, site), known_plan(new, site)
    changes = diff_manifests(before.manifest, after.manifest, before.contents() | after.contents())
    say("\n".join(changes) if changes else "the two plans are the same")


@app.command()
def approve(plan: Decided, site: SiteDirectory = SITE, reason: Reason = "") -> None:
    """Take part in the runs of a plan, now and later. What site.yaml forbids cannot be approved."""
    _decide(site, plan, approve=True, reason=reason)


@app.command()
def reject(plan: Decided, site: SiteDirectory = SITE, reason: Reason = "") -> None:
    """Take no part in the runs of a plan, now and later; an earlier consent is withdrawn."""
    _decide(site, plan, approve=False, reason=reason)


def _state(plan: KnownPlan) -> dict[str, object]:
    return {
        "state": plan.state,
        "reasons": plan.reasons,
        "decided_ms": plan.decided_ms,
        "runs": list(plan.runs),
    }


def _received(runs: Sequence[str]) -> str:
    if len(runs) == 1:
        return f"run {runs[0]} has received the answer"
    return f"runs {named(runs)} have received the answer"


def _decide(site: Path, plan: str, *, approve: bool, reason: str) -> None:
    from hanse.assembly.plans import decide
    from hanse.cli.peer_table import warn_of_older_settings

    decided = asyncio.run(decide(site, plan, approve=approve, reason=reason))
    runs = f"; {_received(decided.told)}" if decided.told else ""
    if approve:
        for sentence in decided.here:
            say(sentence)
    say(f"plan {decided.digest[:12]} is {'approved' if approve else 'rejected'}{runs}")
    for run_id, error in decided.untold.items():
        warn(f"{run_id} was not notified: {error}")
    warn_of_older_settings(site)
