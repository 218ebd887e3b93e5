"""The model of an undisturbed run with the same participation, simulated where nothing can fail."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.deployment import Site as DeployedSite

from hanse.algorithms.registry import WORKFLOWS
from hanse.config.bundle import write_bundle
from hanse.config.load import LoadedPlan, load_plan
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.base import Session
from hanse.learners.bundle import load_factory
from hanse.learners.perform import setup_seed
from hanse.learners.session import LearnerSession
from hanse.simulation.engines.inline import InlineEngine
from hanse.simulation.host import SimulationHost, Submission
from hanse.storage.journal_memory import MemoryJournal

Participation = Mapping[tuple[int, str], tuple[str, ...]]
"""Who answered, by round and task."""


def participation(events: list[Event]) -> Participation:
    """Who took part in what, by a run's journal."""
    opened = {event.exchange: event for event in events if isinstance(event, ExchangeOpened)}
    closed = {event.exchange: event for event in events if isinstance(event, ExchangeClosed)}
    return {(opened[n].round_number, opened[n].task): closed[n].answered for n in closed}


def undisturbed_model(
    plan: Path, sites: Mapping[str, DeployedSite], took_part: Participation
) -> ModelRef | None:
    """The last model of a plan, of these sites, of which only those answer that took part."""
    loaded = load_plan(plan)
    with tempfile.TemporaryDirectory() as scratch:
        sessions = {
            name: _Sometimes(_session(loaded, site, Path(scratch)), name, took_part)
            for name, site in sites.items()
        }
        host = SimulationHost(
            Submission(loaded.manifest, loaded.digest, tuple(sessions)),
            InlineEngine(loaded.manifest.plan, sessions, Path(scratch) / "residuals"),
            MemoryJournal(),
            started_ms=0,
            listener=lambda run, event: None,
        )
        return host.drive(WORKFLOWS[loaded.manifest.plan.workflow]).model


def _session(loaded: LoadedPlan, site: DeployedSite, scratch: Path) -> Session:
    plan, bundle, own = loaded.manifest.plan, scratch / "bundle", scratch / site.name
    own.mkdir()
    blobs = {file.sha256: loaded.files[file.path] for file in loaded.manifest.files}
    write_bundle(loaded.manifest, blobs.__getitem__, bundle)
    assert plan.learner is not None
    told = Site(
        name=site.name,
        data=DataSources(site.name, {"numbers": site.data}),
        seed=setup_seed(plan),
        options=plan.options,
        state_dir=own,
    )
    return LearnerSession(load_factory(bundle, plan.learner), told, own / "kept")


class _Sometimes:
    """A session that fails where its site did not take part."""

    def __init__(self, session: Session, site: str, took_part: Participation) -> None:
        self._session = session
        self._site = site
        self._took_part = took_part

    def initial_parameters(self) -> Parameters:
        return self._session.initial_parameters()

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        if self._site not in self._took_part[task.round_number, task.name]:
            raise TaskError("it did not take part")
        return self._session.perform(task, parameters, sequence=sequence, counted=counted)

    def close(self) -> None:
        self._session.close()
