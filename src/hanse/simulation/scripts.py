"""Sessions of the virtual sites of a script: a process each, or one process for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from hanse.config.load import LoadedPlan
from hanse.core.plan.plan import Plan
from hanse.core.values.site import Site
from hanse.errors import TaskError
from hanse.learners.base import Session
from hanse.learners.script import ScriptSession
from hanse.simulation.notices import Say
from hanse.simulation.observed import ScriptPlan
from hanse.simulation.script_process.session import ModelFile, ProcessSession
from hanse.simulation.shares import Shares

MOST_PROCESSES = 8
"""Virtual sites of a script that have a process each; with more, all share one."""


class Script(Session, Protocol):
    """The session of a script."""

    @property
    def imported(self) -> frozenset[str]:
        """Files of the user's own modules that the script has imported so far."""
        ...

    @property
    def opened(self) -> frozenset[str]:
        """Files beside the script that it has read so far, as far as the session knows."""
        ...

    @property
    def dealt(self) -> bool:
        """True once the script has asked for its share of the data, as far as the session knows."""
        ...

    def evaluates(self) -> bool:
        """Start the script; whether it gives a function that evaluates the federation's model."""
        ...


def script_sessions(
    script: Path, plan: Plan, places: Mapping[Path, Site], shares: Shares, say: Say, *, planned: bool
) -> dict[str, Script]:
    """Make the session of each site, by the site's name; no script is started yet.

    Args:
        script: The script.
        plan: Its plan.
        places: Facts for the code at each site, by the site's folder.
        shares: How a data set is dealt out.
        say: Shows a line to the person who simulates.
        planned: Whether the script runs by a plan. Then its working directory is a folder of its site, as
            in a deployment.
    """
    if len(places) > MOST_PROCESSES:
        say(
            f"the script runs at {len(places)} sites in threads of one process. What is set once a process "
            f"(signal handlers, start methods, default dtypes) is common to them or fails; up to "
            f"{MOST_PROCESSES} sites have a process each"
        )
        return {
            site.name: ScriptSession(script, site, folder / "kept", plan.arguments)
            for folder, site in places.items()
        }
    model = ModelFile(next(iter(places)).parent / "model.safetensors")
    return {
        site.name: ProcessSession(
            script,
            site,
            folder,
            plan.arguments,
            model=model,
            shares=shares,
            directory=folder if planned else None,
        )
        for folder, site in places.items()
    }


def prepare(scripts: Iterable[Script]) -> None:
    """Start scripts that have a process each, side by side."""
    for script in scripts:
        if isinstance(script, ProcessSession):
            script.prepare()


def begin(observed: ScriptPlan, first: Script, loaded: LoadedPlan) -> LoadedPlan:
    """Start a script at its first site; the plan, which evaluates the averaged model if the script can."""
    try:
        evaluates = first.evaluates()
    except TaskError:  # the run fails by it in a moment, and says at which site
        return loaded
    return observed.add_evaluation() if evaluates else loaded


def end(observed: ScriptPlan, scripts: Iterable[Script], say: Say) -> LoadedPlan:
    """The plan that a script has turned out to need, after its run."""
    for script in scripts:
        observed.note(script.imported, script.opened)
    loaded = observed.outcome()
    for warning in filter(None, [observed.elsewhere(), observed.unlisted(loaded)]):
        say(warning)
    return loaded
