"""A plan run at virtual sites in this process, from its files to its model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hanse.algorithms.registry import WORKFLOWS
from hanse.config.bundle import write_bundle
from hanse.config.document import Document
from hanse.config.load import LoadedPlan
from hanse.core.plan.exchange_limits import methods_of
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.run import Run
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.errors import ConfigError, MissingDataError, PlanError, QuorumError, TaskError
from hanse.learners.agreement import Agreement
from hanse.learners.base import Learner, Session
from hanse.learners.bundle import load_factory, load_function
from hanse.learners.comparison import Comparison
from hanse.learners.installed import install_command, unmet
from hanse.learners.notices import notices_kept
from hanse.learners.perform import setup_seed
from hanse.learners.personal.session import PersonalSession, learner_session, script_session
from hanse.learners.session import LearnerSession
from hanse.simulation.arithmetic import limited
from hanse.simulation.engines.base import SITE_FAILURES, Engine
from hanse.simulation.engines.inline import InlineEngine
from hanse.simulation.functions import Functions, ReportedMetrics
from hanse.simulation.host import Committed, Listener, SimulationHost, Submission
from hanse.simulation.notices import Notices, Say, log
from hanse.simulation.observed import ScriptPlan
from hanse.simulation.partition import Partition
from hanse.simulation.scripts import Script, begin, end, prepare, script_sessions
from hanse.simulation.shares import Shares
from hanse.simulation.virtual_cells import virtual_cells
from hanse.storage.journal_memory import MemoryJournal
from hanse.wire.tensors import open_file
from hanse.workflow.federation import Federation


@dataclass(frozen=True, slots=True)
class VirtualSite:
    """A site of a simulation.

    Attributes:
        name: Its name, by which its tasks are seeded; see `hanse.core.values.identity.check_name`.
        data: Its data sources by name: paths, or objects where the code runs in this process.
        data_root: The one folder with its data, where there is one.
        mend: What code that asks for another data source is advised to do; empty for the command's advice.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to simulate.

    Attributes:
        state_dir: An empty folder for what learners keep between tasks.
        started_ms: When the simulation begins, milliseconds since 1970.
        partition: How one data set is dealt out to the sites that ask for their share of it;
            None where each has data of its own, as in a deployment.
        engine: Name of the engine that performs the sites' tasks, one of `ENGINES`; no bit of a model
            depends on it.
        say: Shows what a site's own log would say of its tasks; see `hanse.learners.notices`.
        script_plan: The plan is of a script that has none: it runs where it is, and the plan follows what it
            does; see `hanse.simulation.observed.ScriptPlan`.
        committed: Called after each round; see `hanse.simulation.host.Committed`.
        threads: Threads of linear algebra at each site; the workflow has one.
        functions: Functions to use in place of those that the plan names.
    """

    state_dir: Path
    started_ms: int
    partition: Partition | None = None
    engine: str = "inline"
    say: Say = log
    script_plan: bool = False
    committed: Committed | None = None
    threads: int = 1
    functions: Functions = field(default_factory=Functions)


ENGINES = ("inline",)
"""Names of the engines."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a simulation came to.

    Attributes:
        loaded: The plan; of a script that had none, with what it turned out to report and to import.
        run: The finished run.
        model: The last committed parameters; None where the workflow committed none.
        best: The best ones, where the plan keeps them.
        dealt: Sites that asked for their share of the data.
        failed_ends: What went wrong at a site after the last round, in the end of its script.
        results: The results that the workflow committed, by name.
        held: How many examples of each label a site was dealt, by site; see `Shares`.
        comparison: The model beside baselines, where these were asked for.
    """

    loaded: LoadedPlan
    run: Run
    model: Parameters | None
    best: Parameters | None
    dealt: frozenset[str]
    failed_ends: Mapping[str, TaskError]
    results: Groups = field(default_factory=dict)
    held: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    comparison: Comparison | None = None


def simulate(
    loaded: LoadedPlan, sites: Sequence[VirtualSite], settings: Settings, listener: Listener
) -> Outcome:
    """Run a plan to its end, each site's task after the other's.

    A plan's code runs from a copy of the files that the plan lists, as at a real site; a script without a
    plan runs where it is, as `python script.py` would.

    Args:
        loaded: The plan.
        sites: At least one, with names of their own.
        settings: How.
        listener: Told of every event of the run.

    Raises:
        MissingDataError: A site lacks a data source that the plan names.
        PlanError: A site has a data source that the plan does not name.
        QuorumError: The plan needs more sites.
        ConfigError: There is no engine of that name, or a package that the plan requires is missing.
        HanseError: Why the run failed.
    """
    with limited(settings.threads):
        return _simulate(loaded, sites, settings, listener)


def _simulate(
    loaded: LoadedPlan, sites: Sequence[VirtualSite], settings: Settings, listener: Listener
) -> Outcome:
    check_engine(settings.engine)
    if cells := virtual_cells(loaded.manifest.plan, [site.name for site in sites]):
        loaded = with_settings(loaded, cells=cells)
    plan = loaded.manifest.plan
    _check(plan, sites)
    bundle = bundle_of(loaded, settings.state_dir)
    shares = Shares(settings.partition, [site.name for site in sites], plan.seed, settings.say)
    places = places_of(plan, sites, settings.state_dir, shares)
    scripts = scripts_of(loaded, bundle, places, shares, settings)
    sessions = (
        personal_sessions(scripts, plan, places)
        if plan.script is not None
        else learner_sessions(factory_of(plan, bundle, settings.functions), plan, places)
    )
    observed = ScriptPlan(loaded) if settings.script_plan else None
    loaded = begin(observed, next(iter(scripts.values())), loaded) if observed else loaded
    reports = ReportedMetrics(loaded, settings.functions.open_tasks)
    declare = (observed or reports).declare
    residuals = settings.state_dir / "residuals"
    engine: Engine = InlineEngine(
        loaded.manifest.plan, sessions, residuals, settings.say, declare, settings.threads
    )
    try:
        prepare(scripts.values())
        _prepare_personal(sessions.values())
        submission = Submission(loaded.manifest, loaded.digest, tuple(sessions), initial_model_of(loaded))
        host = SimulationHost(
            submission,
            engine,
            MemoryJournal(),
            started_ms=settings.started_ms,
            listener=listener,
            committed=settings.committed,
        )
        with limited(1):
            run = host.drive(_workflow(plan, bundle, settings.functions))
    finally:
        failed_ends = engine.close()
    loaded = end(observed, scripts.values(), settings.say) if observed else reports.outcome()
    return Outcome(
        loaded=loaded,
        run=run,
        model=None if run.model is None else host.tensors(run.model),
        best=None if run.best is None or run.best.model is None else host.tensors(run.best.model),
        results=host.results,
        held=shares.held,
        dealt=frozenset(shares.asked | {name for name, script in scripts.items() if script.dealt}),
        failed_ends=failed_ends,
    )


def agreement_of(loaded: LoadedPlan, sites: Sequence[VirtualSite], settings: Settings) -> Agreement | None:
    """The labels and features that the plan's learner has at the first site; None where it does not say.

    Args:
        loaded: The plan.
        sites: As for `simulate`.
        settings: As for `simulate`; its folder is used.

    Raises:
        HanseError: No learner can be made there.
    """
    plan = loaded.manifest.plan
    if plan.learner is None:
        return None
    _check(plan, sites)
    bundle = bundle_of(loaded, settings.state_dir)
    shares = Shares(settings.partition, [site.name for site in sites], plan.seed, settings.say)
    folder, site = next(iter(places_of(plan, sites, settings.state_dir, shares).items()))
    factory = factory_of(plan, bundle, settings.functions)
    session = LearnerSession(factory, site, folder / "kept", methods_of(plan))
    with notices_kept() as noted:
        try:
            return session.agreement()
        finally:
            Notices(settings.say).add(site.name, noted)


def with_settings(loaded: LoadedPlan, **wanted: Any) -> LoadedPlan:
    """The same plan with other settings.

    Args:
        loaded: The plan.
        wanted: Settings by their keys in a plan; None keeps the plan's own.

    Raises:
        PlanError: No plan can have them.
    """
    changes = {name: value for name, value in wanted.items() if value is not None}
    old = loaded.manifest
    settings = {**old.plan.model_dump(mode="json"), **changes}
    plan = Document(f"plan {old.plan.name}", settings, {}, PlanError).check(Plan)
    manifest = Manifest(plan=plan, files=old.files, initial_model=old.initial_model)
    return replace(loaded, manifest=manifest, digest=manifest.digest)


def check_engine(name: str) -> None:
    """Refuse an engine that this version does not have.

    Raises:
        ConfigError: There is no engine of that name.
    """
    if name not in ENGINES:
        raise ConfigError(
            f"there is no engine {name!r} in this version", mend="Leave --engine out: `inline` is used."
        )


def _check(plan: Plan, sites: Sequence[VirtualSite]) -> None:
    if not sites or len({site.name for site in sites}) < len(sites):
        raise ValueError("a simulation needs sites, each with a name of its own")
    if len(sites) < plan.cohort.minimum:
        raise QuorumError(
            f"the plan {plan.name} needs at least {plan.cohort.minimum} sites, and there are {len(sites)}",
            mend="Simulate more sites, or lower `cohort: minimum` in the plan.",
        )
    for each in unmet(plan.requires):
        raise ConfigError(
            f"plan {plan.name}: {each}, in {sys.prefix}",
            mend=f"Install it: {install_command(each.requirement)}.",
        )
    for site in sites:
        for name in sorted(set(plan.data) - site.data.keys()):
            raise MissingDataError(
                f"the plan {plan.name} needs a data source named {name!r}, and site {site.name} has none",
                mend=f"Add --data {name}=PATH; {{site}} in PATH stands for the name of each site.",
            )
        for name in sorted(site.data.keys() - set(plan.data)):
            raise PlanError(
                f"the plan {plan.name} does not name the data source {name!r}, so its code may not have it",
                mend=f"Add `data: [{name}]` to the plan, or leave --data {name}=... out.",
            )


def places_of(plan: Plan, sites: Sequence[VirtualSite], state_dir: Path, shares: Shares) -> dict[Path, Site]:
    """Make what the code at each site gets to know of the site, by the folder for the site's state."""
    places = {}
    # The plan of a script that has none names what `--data` gives.
    mend = "" if plan.script is not None else "Name it under `data` in the plan, and a"
    mend = f"{mend or 'A'}dd --data NAME=PATH; {{site}} in PATH stands for the name of each site."
    for index, site in enumerate(sites):
        folder = state_dir / "sites" / site.name
        own = folder / "own"
        own.mkdir(parents=True, exist_ok=True)
        places[folder] = Site(
            name=site.name,
            # As in a deployment: a plan sees the sources that it names.
            data=DataSources(site.name, {name: site.data[name] for name in plan.data}, site.mend or mend),
            seed=setup_seed(plan),
            # What the code at one site does to its options is nothing to the other sites.
            options=deepcopy(plan.options),
            data_root=site.data_root,
            index=index,
            count=len(sites),
            state_dir=own,
            partition=shares.share(site.name, index),
            labels=plan.labels,
            features=plan.features,
        )
    return places


def bundle_of(loaded: LoadedPlan, state_dir: Path) -> Path:
    """Copy the files that a plan lists, as a site gets them; the folder."""
    bundle = state_dir / "bundle"
    blobs = {file.sha256: loaded.files[file.path] for file in loaded.manifest.files}
    write_bundle(loaded.manifest, blobs.__getitem__, bundle)
    return bundle


def initial_model_of(loaded: LoadedPlan) -> Parameters | None:
    """Open the first model of a plan that has one."""
    start = loaded.manifest.initial_model
    if start is not None and loaded.manifest.plan.sealed is not None:
        mend = "Simulate a copy of the plan without `sealed`, with the model unsealed."
        raise PlanError(f"{start.path} is sealed, and a simulation has no keys to open it", mend=mend)
    return None if start is None else open_file(loaded.files[start.path])


def scripts_of(
    loaded: LoadedPlan, bundle: Path, places: Mapping[Path, Site], shares: Shares, settings: Settings
) -> dict[str, Script]:
    """Make the session of each site's script, by the site's name; of a learner none."""
    plan, planned = loaded.manifest.plan, not settings.script_plan
    if plan.script is None:
        return {}
    script = bundle / plan.script if planned else loaded.files[plan.script]
    return script_sessions(script, plan, places, shares, settings.say, planned=planned)


def factory_of(plan: Plan, bundle: Path, functions: Functions) -> Callable[[Site], Learner]:
    """Find the function that makes a plan's learner."""
    if functions.learner is not None:
        return functions.learner
    if plan.learner is None:
        raise ValueError("a plan has either a learner or a script")
    return load_factory(bundle, plan.learner)


def personal_sessions(
    scripts: Mapping[str, Session], plan: Plan, places: Mapping[Path, Site]
) -> dict[str, Session]:
    """Sessions of scripts that keep at each site what the plan keeps there, by the sites' names.

    Args:
        scripts: Sessions of the scripts as they are.
        plan: The plan.
        places: The sites by their folders.
    """
    folders = {site.name: folder for folder, site in places.items()}
    return {
        name: script_session(script, plan.personal, folders[name] / "personal")
        for name, script in scripts.items()
    }


def learner_sessions(
    factory: Callable[[Site], Learner], plan: Plan, places: Mapping[Path, Site]
) -> dict[str, Session]:
    """Sessions of learners that keep at each site what the plan keeps there, by the sites' names.

    Args:
        factory: Makes a site's learner.
        plan: The plan.
        places: The sites by their folders.
    """
    return {
        site.name: learner_session(
            factory, site, folder / "kept", plan.personal, folder / "personal", methods_of(plan)
        )
        for folder, site in places.items()
    }


def _prepare_personal(sessions: Iterable[Session]) -> None:
    """Have each site's code make what is personal before any site trains: sites may share one module."""
    for session in sessions:
        if isinstance(session, PersonalSession):
            with suppress(*SITE_FAILURES):  # the site fails by it when it is asked
                session.prepare()


def _workflow(plan: Plan, bundle: Path, functions: Functions) -> Callable[[Federation], None]:
    return functions.workflow or WORKFLOWS.get(plan.workflow) or load_function(bundle, plan.workflow)
