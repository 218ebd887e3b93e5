"""How good the federated model is, beside each hospital's own and one trained on all patients pooled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters, add
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Metrics, given
from hanse.demo.files import HEART_DISEASE, HOSPITALS
from hanse.learners.base import Learner
from hanse.learners.perform import Ask, perform, setup_seed
from hanse.learners.session import LearnerSession

FEDERATED = "federated"
POOLED = "all patients pooled"

TITLES = {
    "accuracy": "Accuracy: share of the held-out patients classified correctly",
    "auc": "AUC: chance that an ill patient is ranked above a healthy one",
}
"""What a metric says, by its name; the metrics that are shown, in order."""

NOTE = (
    "Every model had the same learner, settings and number of local steps. Almost all held-out patients of "
    "zurich (15 of 16) and most of long-beach (35 of 45) are ill: a model that calls everyone ill has a high "
    "accuracy there, but no AUC."
)
"""What to know when reading the tables."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several models, each measured on the held-out patients of every hospital.

    Attributes:
        patients: Number of held-out patients, by hospital.
        scores: Metrics by model, then by hospital.
    """

    patients: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Metrics]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics in `TITLES` that every learner reported."""
        reported = [set(score) for by_hospital in self.scores.values() for score in by_hospital.values()]
        return tuple(name for name in TITLES if all(name in names for names in reported))

    def mean(self, model: str, metric: str) -> float:
        """Mean of a metric over all held-out patients: hospitals weigh by their number of patients."""
        total = sum(count * self.scores[model][site][metric] for site, count in self.patients.items())
        return total / sum(self.patients.values())


def own(hospital: str) -> str:
    """Name of the model that a hospital trained by itself."""
    return f"{hospital} alone"


def compare(make_learner: Callable[[Site], Learner], plan: Plan, federated: Parameters) -> Comparison:
    """Train the models that the federated one is to be held against, and measure all of them.

    Each is trained in this process as the only site of a federation would be:
    by the plan's learner, with its settings, for as many rounds. The pooled model sees the union
    of the four training sets, each standardised by its own mean and standard
    deviation, as in the federation.

    Args:
        make_learner: What the plan names as its `learner`.
        plan: The plan of the run.
        federated: The model of the run.
    """
    with TemporaryDirectory() as scratch:
        sources = {name: HEART_DISEASE / file for name, file in HOSPITALS.items()} | {POOLED: HEART_DISEASE}
        sessions = {
            name: LearnerSession(
                make_learner,
                Site(name, DataSources(name, {"heart": source}), setup_seed(plan), plan.options),
                Path(scratch, name),
            )
            for name, source in sources.items()
        }
        models = {FEDERATED: federated}
        models |= {own(name): _train(sessions[name], plan, name) for name in HOSPITALS}
        models[POOLED] = _train(sessions[POOLED], plan, POOLED)
        ask = Ask(plan.rounds + 1, plan.rounds, "evaluate")
        results = {
            model: {name: perform(sessions[name], plan, name, ask, parameters) for name in HOSPITALS}
            for model, parameters in models.items()
        }
    return Comparison(
        patients={name: result.num_examples for name, result in results[FEDERATED].items()},
        scores={
            model: {name: given(result.metrics) for name, result in by_hospital.items()}
            for model, by_hospital in results.items()
        },
    )


def render(comparison: Comparison, metric: str) -> Table:
    """One metric as a table: a row a model, a column a hospital with its number of held-out patients."""
    table = Table(title=TITLES[metric], title_justify="left")
    table.add_column("model\n(held-out patients)")
    for hospital, count in comparison.patients.items():
        table.add_column(f"{hospital}\n({count})", justify="right")
    table.add_column(f"all\n({sum(comparison.patients.values())})", justify="right")
    for model, by_hospital in comparison.scores.items():
        cells = [f"{by_hospital[hospital][metric]:.3f}" for hospital in comparison.patients]
        style = "bold" if model == FEDERATED else None
        table.add_row(model, *cells, f"{comparison.mean(model, metric):.3f}", style=style)
    return table


def _train(session: LearnerSession, plan: Plan, name: str) -> Parameters:
    model = session.initial_parameters()
    for round_number in range(1, plan.rounds + 1):
        trained = perform(session, plan, name, Ask(round_number, round_number, "train"), model)
        model = add(model, trained.update or {})
    return model
