"""Composition of a simulation, from the file that a user names to the files of its results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import EEXIST
from os import strerror
from pathlib import Path
from typing import Any

from hanse.assembly.plan_file import load_plan
from hanse.config.load import LoadedPlan
from hanse.config.script import script_plan
from hanse.config.write import to_yaml
from hanse.core.plan.plan import fit_into_a_plan
from hanse.core.plan.policy import default_refusals
from hanse.core.run.events import Event
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.run import Run
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.update import given
from hanse.errors import PlanError
from hanse.files.errors import file_errors
from hanse.learners.comparison import Comparison
from hanse.simulation.baselines import LastAnswer, check_comparable, compare
from hanse.simulation.functions import Functions
from hanse.simulation.host import Committed, Listener
from hanse.simulation.notices import Say, log
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import (
    Outcome,
    Settings,
    VirtualSite,
    agreement_of,
    simulate,
    with_settings,
)
from hanse.simulation.sites import completed

SCRIPT_ROUNDS = 5
"""Rounds of a script, where no number is given."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulation that can be run.

    Attributes:
        source: The plan or the script that it was made from.
        loaded: The plan.
        sites: Its sites, in site order.
        partition: How one data set is dealt out to them; None where each has data of its own.
        engine: Name of the engine that performs tasks.
        threads: Threads of linear algebra at each site.
        functions: Functions to use in place of those that the plan names.
    """

    source: Path
    loaded: LoadedPlan
    sites: Sequence[VirtualSite]
    partition: Partition | None
    engine: str = "inline"
    threads: int = 1
    functions: Functions = field(default_factory=Functions)

    @property
    def is_script(self) -> bool:
        """True of a script without a plan, whose plan follows from what it does."""
        return self.source.suffix == ".py"


def prepare(
    source: Path,
    sites: Sequence[VirtualSite],
    partition: Partition | None,
    rounds: int | None = None,
    seed: int | None = None,
    *,
    engine: str = "inline",
    threads: int = 1,
    code: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> Simulation:
    """Load a plan, or make the plan of a training script.

    Args:
        source: The plan; a script where its name ends with `.py`.
        sites: See `Simulation`; at least one.
        partition: See `Simulation`.
        rounds: Rounds; None for those of the plan, or `SCRIPT_ROUNDS`.
        seed: Seed; None for that of the plan, or 0.
        engine: See `Simulation`.
        threads: See `Simulation`.
        code: Of a script, more files of its code; see `hanse.config.script.script_plan`.
        arguments: Arguments of the script; without any, those of the plan.

    Raises:
        PlanError: The file is not a plan, or not a script with a loop over `hanse.rounds`; or a plan was
            given more `code`, or a learner `arguments`.
        MissingDataError: A site's data root lacks a data source of the plan that was not given.
    """
    if source.suffix != ".py":
        if code:
            raise PlanError("--code is for a script without a plan", mend=f"List the files in {source}.")
        given = list(arguments) or None
        loaded = with_settings(load_plan(source), rounds=rounds, seed=seed, arguments=given)
        sites = completed(sites, loaded.manifest.plan.data)
    else:
        script = script_plan(
            source,
            rounds=rounds or SCRIPT_ROUNDS,
            seed=seed or 0,
            sites=len(sites),
            code=code,
            arguments=arguments,
        )
        loaded = with_settings(script, data=sorted(sites[0].data))
    return Simulation(source, loaded, sites, partition, engine, threads)


def stated(simulation: Simulation, say: Say = log) -> Simulation:
    """The same simulation, of a plan that states the labels and features of the first site's learner.

    The plan is what sites then have to agree on, whatever the data of each come to.

    Args:
        simulation: What is to be run.
        say: Shows what a person should know.

    Raises:
        HanseError: No learner can be made at the first site.
    """
    loaded, plan = simulation.loaded, simulation.loaded.manifest.plan
    with tempfile.TemporaryDirectory(prefix="hanse-") as folder:
        settings = Settings(Path(folder), 0, simulation.partition, simulation.engine, say)
        found = agreement_of(loaded, simulation.sites, settings)
    parts = {} if found is None else {"labels": found.labels, "features": found.features}
    changes = {}
    for key, values in parts.items():
        if values is None or getattr(plan, key) is not None:
            continue
        if fit_into_a_plan(values):
            changes[key] = list(values)
        else:
            say(f"the {len(values)} {key} are too many or too long for a plan, which therefore states none")
    return replace(simulation, loaded=with_settings(loaded, **changes))


def save_before(simulation: Simulation, file: Path, say: Say = log) -> Simulation:
    """Write the plan of a simulation to a new file beside its code; see `stated`.

    The plan of a script is written after the run, by `save_after`: it follows from what the script does.

    Returns:
        The simulation of that plan.

    Raises:
        PlanError: The file would be in another folder than the code.
        StorageError: The file exists, or cannot be written.
        HanseError: No learner can be made at the first site.
    """
    _check_savable(simulation, file)
    if simulation.is_script:
        return simulation
    simulation = stated(simulation, say)
    save(simulation, file)
    return simulation


def save_after(simulation: Simulation, file: Path) -> None:
    """Write the plan that a script turned out to have; see `save`."""
    if simulation.is_script:
        save(simulation, file)


def _check_savable(simulation: Simulation, file: Path) -> None:
    """Refuse a file that the plan of a simulation cannot be saved as.

    Raises:
        PlanError: The file would be in another folder than the code.
        StorageError: The file exists.
    """
    loaded, source = simulation.loaded, simulation.source
    if file.absolute().parent.resolve() != loaded.root.resolve():
        raise PlanError(
            f"{file} is not beside the code of {source}, where a plan looks for it",
            mend=f"Save it as {loaded.root / file.name}.",
        )
    with file_errors(f"write {file}"):
        if file.exists():
            raise FileExistsError(EEXIST, strerror(EEXIST))


def save(simulation: Simulation, file: Path) -> None:
    """Write the plan of a simulation to a new file beside its code.

    Raises:
        PlanError: The file would be in another folder than the code.
        StorageError: The file exists, or cannot be written.
    """
    _check_savable(simulation, file)
    with file_errors(f"write {file}"), file.open("x", encoding="utf-8") as out:
        text = to_yaml(simulation.loaded.manifest.plan)
        out.write(f"# What `hanse simulate {simulation.source.name}` ran.\n{text}")


def finished(simulation: Simulation, outcome: Outcome) -> Simulation:
    """The simulation with the plan that it came to: of a script, what it reports and imports."""
    return replace(simulation, loaded=outcome.loaded)


def run(
    simulation: Simulation,
    listener: Listener,
    say: Say = log,
    committed: Committed | None = None,
    *,
    baselines: bool = False,
) -> Outcome:
    """Run a simulation to its end; see `hanse.simulation.simulate.simulate` for the errors.

    Args:
        simulation: What to run.
        listener: Called with every event of the run.
        say: Shows what the log of a site would say of its tasks.
        committed: Called after each round.
        baselines: Whether the model is compared with those that sites train alone.

    Raises:
        PlanError: Baselines are asked for, of a run whose sites train no model.
    """
    if baselines:
        check_comparable(simulation.loaded.manifest.plan)
    with tempfile.TemporaryDirectory(prefix="hanse-") as folder:
        ran = run_in(Path(folder), simulation, listener, say, committed)
        return replace(ran.outcome, comparison=comparison(simulation, ran)) if baselines else ran.outcome


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """A simulation that has run, with what a comparison with baselines needs.

    Attributes:
        outcome: What it came to.
        settings: How it ran; its folder holds what sites kept.
        answers: What each site reported when it last trained.
    """

    outcome: Outcome
    settings: Settings
    answers: Mapping[str, LastAnswer]


def run_in(
    folder: Path,
    simulation: Simulation,
    listener: Listener,
    say: Say = log,
    committed: Committed | None = None,
) -> Ran:
    """Run a simulation to its end; see `run`.

    Args:
        folder: An empty folder, for what the sites keep.
        simulation: What to run.
        listener: Called with every event of the run.
        say: Shows what the log of a site would say of its tasks.
        committed: Called after each round.
    """
    answers: dict[str, LastAnswer] = {}

    def listen(now: Run, event: Event) -> None:
        if isinstance(event, UpdateAccepted) and event.metrics and _is_training(now, event):
            answers[event.site] = LastAnswer(event.num_examples, given(event.metrics))
        listener(now, event)

    settings = Settings(
        folder,
        round(time.time() * 1000),
        simulation.partition,
        simulation.engine,
        say,
        committed=committed,
        script_plan=simulation.is_script,
        functions=simulation.functions,
        threads=simulation.threads,
    )
    return Ran(simulate(simulation.loaded, simulation.sites, settings, listen), settings, answers)


def comparison(simulation: Simulation, ran: Ran) -> Comparison:
    """Compare the model of a simulation with its baselines; see `hanse.simulation.baselines.compare`."""
    check_comparable(ran.outcome.loaded.manifest.plan)
    return compare(ran.outcome.loaded, simulation.sites, ran.settings, ran.outcome, ran.answers)


def _is_training(run: Run, event: UpdateAccepted) -> bool:
    exchange = run.exchanges.get(event.exchange)
    return exchange is None or exchange.task == "train"


def _best(round_number: int, model: ModelRef) -> dict[str, Any]:
    return {"round": round_number, "model": model.digest}


def summarise(simulation: Simulation, run: Run, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Results of a simulation as a JSON object.

    Args:
        simulation: What was run.
        run: The run as it stands.
        history: The rounds, as `hanse.control.timeline.Timeline` keeps them.
    """
    plan, best = simulation.loaded.manifest.plan, run.best
    return {
        "plan": {"name": plan.name, "digest": simulation.loaded.digest, "seed": plan.seed},
        "phase": run.phase.value,
        "short_rounds": run.attendance.short_rounds,
        "suspended": {site: found.reason for site, found in sorted(run.failure_record.suspensions.items())},
        "rounds": list(history),
        "model": None if run.model is None else run.model.digest,
        "best": None if best is None or best.model is None else _best(best.round_number, best.model),
        "results": dict(sorted(run.results.items())),
        "warnings": list(default_refusals(plan)),
    }
