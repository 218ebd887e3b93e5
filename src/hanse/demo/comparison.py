"""How good the federated model is, beside each hospital's own and one trained on all patients pooled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import given
from hanse.demo.files import HEART_DISEASE, HOSPITALS
from hanse.learners.base import Learner
from hanse.learners.comparison import FEDERATED, Comparison, own, train_alone
from hanse.learners.perform import Ask, perform, setup_seed
from hanse.learners.session import LearnerSession

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
NOTE_ON_MASKED_METRICS = (
    "Metrics of the rounds are means of the hospitals alike here, as the task `evaluate` discloses metrics "
    "alone; without --secure they are weighted by number of patients. The models agree up to rounding."
)
"""Remark for who compares the rounds with those of the demo without secure aggregation."""


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
        models |= {own(name): train_alone(sessions[name], plan, name)[0] for name in HOSPITALS}
        models[POOLED], _ = train_alone(sessions[POOLED], plan, POOLED)
        ask = Ask(plan.rounds + 1, plan.rounds, "evaluate")
        results = {
            model: {name: perform(sessions[name], plan, name, ask, parameters) for name in HOSPITALS}
            for model, parameters in models.items()
        }
    return Comparison(
        examples={name: result.num_examples for name, result in results[FEDERATED].items()},
        scores={
            model: {name: given(result.metrics) for name, result in by_hospital.items()}
            for model, by_hospital in results.items()
        },
    )
