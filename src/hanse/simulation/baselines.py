"""Baselines of a simulated run: the models that each site trains alone, and that of all data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hanse.config.load import LoadedPlan
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import Site
from hanse.core.values.update import Metrics
from hanse.core.values.wording import named
from hanse.errors import PlanError
from hanse.learners.base import Learner, PoolingLearner, Session
from hanse.learners.comparison import FEDERATED, Comparison, measure, own, train_alone
from hanse.learners.notices import notices_kept
from hanse.learners.script import EVALUATE, TRAIN
from hanse.learners.seeding import seed_generators
from hanse.learners.session import LearnerSession
from hanse.simulation.arithmetic import limited
from hanse.simulation.engines.base import SITE_FAILURES
from hanse.simulation.notices import Say
from hanse.simulation.shares import Shares
from hanse.simulation.simulate import (
    Outcome,
    Settings,
    VirtualSite,
    bundle_of,
    factory_of,
    initial_model_of,
    learner_sessions,
    personal_sessions,
    places_of,
    scripts_of,
)

POOLED = "all data pooled"

_MAY_LEAK = (
    f"{POOLED}: the code trained this model with the whole data set as its share. If it holds out part of "
    "its share, what a site holds out may be among the training data here. A learner with a method "
    "`pooled` joins the sites' training data alone."
)
_OF_SCRIPT = "Each figure is what the script reported of its own model, after training in the last round."

MOST_SITES = 20
"""Sites that are compared: each model is measured at each site."""

Factory = Callable[[Site], Learner]


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """The report of a site that trained."""

    num_examples: int
    metrics: Metrics


def check_comparable(plan: Plan) -> None:
    """Refuse baselines of a run whose sites train no model.

    Raises:
        PlanError: The run has no model, or the plan has no task `train`, by which sites would train alone.
    """
    mend = "Ask for no baselines; what the run comes to is in its results."
    if plan.first_model == "none":
        raise PlanError(
            "baselines are models, and by the plan the run has none (`initial_model: none`)", mend=mend
        )
    if TRAIN not in plan.tasks:
        raise PlanError(
            f"baselines are models that a site trains alone, and the plan has no task {TRAIN!r} (it has "
            f"{named(list(plan.tasks))})",
            mend=mend,
        )


def compare(
    loaded: LoadedPlan,
    sites: Sequence[VirtualSite],
    settings: Settings,
    outcome: Outcome,
    answers: Mapping[str, LastAnswer],
) -> Comparison:
    """Train the models that a federated one is to be held against, and measure all of them.

    Each is trained in this process as the only site of a federation would be. A model of all data is
    trained where the learner can pool (`hanse.learners.base.PoolingLearner`), or where the sites share one
    data set. A script that does not evaluate the averaged model measures its own alone: its figures are
    those that it reported last.

    Args:
        loaded: The plan.
        sites: The sites of the simulation.
        settings: Those of the simulation; its folder still holds what sites kept.
        outcome: What the simulation came to, with a model.
        answers: What each site reported when it last trained.

    Raises:
        HanseError: A baseline cannot be made; a site's failure only leaves its figures out.
    """
    with limited(settings.threads):
        return _compare(loaded, sites, settings, outcome, answers)


def _compare(
    loaded: LoadedPlan,
    sites: Sequence[VirtualSite],
    settings: Settings,
    outcome: Outcome,
    answers: Mapping[str, LastAnswer],
) -> Comparison:
    plan, folder = loaded.manifest.plan, settings.state_dir / "baselines"
    shares = Shares(settings.partition, [site.name for site in sites], plan.seed, _silent)
    trials = _Trials(
        loaded,
        bundle_of(loaded, folder),
        places_of(plan, sites, folder, shares),
        folder,
        settings.say,
        _shared(sites, settings, outcome),
        shares,
        replace(settings, say=_silent),
        outcome.run.accepted,
    )
    in_run = places_of(plan, sites, settings.state_dir, shares)
    with notices_kept():  # the run has said them
        if plan.learner is None:
            return trials.of_script(in_run, answers, outcome.model)
        return trials.of_learner(in_run, outcome.model)


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Trainings of the baselines.

    Attributes:
        loaded: The plan.
        bundle: Folder of its code.
        places: What each site that trains alone gets to know, by its folder.
        folder: Where sites keep what they keep.
        say: Shows what went wrong.
        shared: Whether all sites divide one data set among them.
        shares: The sites' shares of it.
        settings: Those of the simulation, whose notices were shown.
        counted: By site, its last exchange in the run whose result counted.
    """

    loaded: LoadedPlan
    bundle: Path
    places: Mapping[Path, Site]
    folder: Path
    say: Say
    shared: bool
    shares: Shares
    settings: Settings
    counted: Mapping[str, int]

    def of_learner(self, federated: Mapping[Path, Site], model: Parameters | None) -> Comparison:
        """Compare models at all sites; `federated` are the sites as they took part in the run."""
        factory = factory_of(self.loaded.manifest.plan, self.bundle, self.settings.functions)
        notes: tuple[str, ...] = ()
        pooled = _pooled_factory(factory, list(self.places.values()))
        if pooled is None and self.shared:
            pooled, notes = factory, (_MAY_LEAK,)
        personal = self.loaded.manifest.plan.personal
        whole = (
            None
            if pooled is None
            else LearnerSession(pooled, self._whole(), self.folder / "pooled", personal=personal)
        )
        alone = {
            site.name: LearnerSession(factory, site, folder / "kept", personal=personal)
            for folder, site in self.places.items()
        }
        # In the folders of the run, whose sites may have kept a part of the model to themselves.
        places = learner_sessions(factory, self.loaded.manifest.plan, federated)
        return self._of_models(alone, whole, places, model, notes)

    def of_script(
        self, federated: Mapping[Path, Site], answers: Mapping[str, LastAnswer], model: Parameters | None
    ) -> Comparison:
        """Compare models at all sites if the script evaluates them, else what each site reports itself."""
        places = dict(self.places)
        if self.shared:
            places[self.folder / "pooled"] = self._whole()
        found = scripts_of(self.loaded, self.bundle, places, self.shares, self.settings)
        try:
            sessions: dict[str, Session] = {**found}
            if EVALUATE not in self.loaded.manifest.plan.tasks:
                return self._of_reports(sessions, answers)
            whole = sessions.pop(POOLED, None)
            notes = () if whole is None else (_MAY_LEAK,)
            in_run = personal_sessions(sessions, self.loaded.manifest.plan, federated)
            return self._of_models(sessions, whole, in_run, model, notes)
        finally:
            for name, session in found.items():
                with self._failures_said(f"the end of the script at {name}"):
                    session.close()

    def _of_models(
        self,
        sessions: Mapping[str, Session],
        whole: Session | None,
        federated: Mapping[str, Session],
        model: Parameters | None,
        notes: tuple[str, ...],
    ) -> Comparison:
        """Train at each site, and with all data, and measure each model at each site."""
        models: dict[str, Parameters] = {}
        for name, session in sessions.items():
            with self._failures_said(own(name)):
                models[own(name)] = self._trained(session, name)
        if whole is not None:
            with self._failures_said(POOLED):
                models[POOLED] = self._trained(whole, POOLED)
        examples: dict[str, int] = {}
        scores: dict[str, dict[str, Metrics]] = {}
        if model is not None:
            scores[FEDERATED] = self._measured(federated, model, FEDERATED, examples, self.counted)
        for name, trained in models.items():
            scores[name] = self._measured(sessions, trained, name, examples)
        return Comparison({site: examples.get(site, 0) for site in sessions}, scores, notes=notes)

    def _of_reports(self, sessions: Mapping[str, Session], answers: Mapping[str, LastAnswer]) -> Comparison:
        """Compare what each site reported in the run, and what it reports alone."""
        plan, first = self.loaded.manifest.plan, initial_model_of(self.loaded)
        scores: dict[str, dict[str, Metrics]] = {
            FEDERATED: {site: answer.metrics for site, answer in answers.items()}
        }
        whole: dict[str, Metrics] = {}
        for name, session in sessions.items():
            model = POOLED if name == POOLED else own(name)
            with self._failures_said(model):
                _, last = train_alone(session, plan, name, first)
                metrics = {} if last is None else _given(last.metrics)
                scores[model] = {} if name == POOLED else {name: metrics}
                if name == POOLED:
                    whole[POOLED] = metrics
        examples = {site: answer.num_examples for site, answer in answers.items()}
        return Comparison(examples, scores, whole, (_OF_SCRIPT,))

    def _trained(self, session: Session, name: str) -> Parameters:
        first = initial_model_of(self.loaded)
        if first is not None and self.loaded.manifest.plan.personal:  # which a file of the plan's lacks
            first = {**session.initial_parameters(), **first}
        model, _ = train_alone(session, self.loaded.manifest.plan, name, first)
        return model

    def _measured(
        self,
        sessions: Mapping[str, Session],
        model: Parameters,
        name: str,
        examples: dict[str, int],
        counted: Mapping[str, int] | None = None,
    ) -> dict[str, Metrics]:
        found: dict[str, Metrics] = {}
        for site, session in sessions.items():
            with self._failures_said(f"{name}, at {site}"):
                last = None if counted is None else counted.get(site, 0)
                result = measure(session, self.loaded.manifest.plan, site, model, last)
                found[site] = _given(result.metrics)
                examples[site] = result.num_examples
        return found

    def _whole(self) -> Site:
        """The first site with everything as its share."""
        kept = self.folder / "pooled" / "own"
        kept.mkdir(parents=True)
        first = next(iter(self.places.values()))
        return replace(first, name=POOLED, index=0, count=1, partition=None, state_dir=kept)

    @contextmanager
    def _failures_said(self, what: str) -> Iterator[None]:
        """Say a failure, and do without what was to be known."""
        try:
            yield
        except SITE_FAILURES as error:
            self.say(f"no baseline: {what}: {error}")


def _given(metrics: Mapping[str, float | None]) -> Metrics:
    return {name: value for name, value in metrics.items() if value is not None}


def _shared(sites: Sequence[VirtualSite], settings: Settings, outcome: Outcome) -> bool:
    """Check whether all sites divide one data set among them."""
    everyone = {site.name for site in sites}
    same = all(_same(site.data, sites[0].data) and site.data_root == sites[0].data_root for site in sites)
    return settings.partition is not None and everyone <= outcome.dealt and same


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Check whether two sites have the same data sources; objects are not compared by value."""
    return one.keys() == other.keys() and all(
        source is other[name] or (isinstance(source, Path) and source == other[name])
        for name, source in one.items()
    )


def _pooled_factory(factory: Factory, sites: Sequence[Site]) -> Factory | None:
    """Make a learner of the training data of all sites; None of learners that do not pool."""
    seed_generators(sites[0].seed)
    if not isinstance(factory(sites[0]), PoolingLearner):
        return None

    def pooled(_: Site) -> Learner:
        learners = []
        for site in sites:
            seed_generators(site.seed)
            learners.append(factory(site))
        first = learners[0]
        if not isinstance(first, PoolingLearner):
            raise TypeError(f"the learner of {sites[0].name} can pool at one time and not at another")
        return first.pooled(learners[1:])

    return pooled


def _silent(_: str) -> None:
    """Say nothing: the run has said it."""
