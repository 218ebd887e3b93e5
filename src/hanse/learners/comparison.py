"""Comparison of models: a federated one beside those that sites train alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.plan.local_rules import needs_of
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters, add
from hanse.core.values.seeds import derive
from hanse.core.values.update import Metrics, Task, TaskResult
from hanse.learners.base import Session
from hanse.learners.perform import Ask, Performed, perform

FEDERATED = "federated"

AFTER_ALL = 10**9
"""Number of an exchange after all exchanges of a run."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several models, each measured on the held-out examples of every site.

    Attributes:
        examples: Number of held-out examples, by site.
        scores: Metrics by model, then by site; a metric that is not known, or not defined there, is not
            among them.
        whole: Metrics by model over the examples of all sites, where they are not means of `scores`.
        notes: Sentences to read beside the figures.
    """

    examples: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Metrics]]
    whole: Mapping[str, Metrics] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that are known of any model at any site, in their order."""
        names = (name for by_site in self.scores.values() for metrics in by_site.values() for name in metrics)
        return tuple(dict.fromkeys(names))

    def mean(self, model: str, metric: str) -> float | None:
        """Mean of a metric over all held-out examples: sites weigh by their number of examples.

        None where it is not known of the model at every site where it is known of any.
        """
        if metric in self.whole.get(model, {}):
            return self.whole[model][metric]
        having = {
            site for by_site in self.scores.values() for site, metrics in by_site.items() if metric in metrics
        }
        known = {site: metrics[metric] for site, metrics in self.scores[model].items() if metric in metrics}
        total = sum(self.examples[site] for site in having)
        if not total or known.keys() < having:
            return None
        return sum(self.examples[site] * value for site, value in known.items()) / total


def own(site: str) -> str:
    """Name of the model that a site trained by itself."""
    return f"{site} alone"


def train_alone(
    session: Session, plan: Plan, name: str, first: Parameters | None = None
) -> tuple[Parameters, Performed | None]:
    """Train as the only site of a federation would: with the plan's settings, for as many rounds.

    Local rules are left out: they act on differences between sites.

    Args:
        session: The code at the site.
        plan: The plan.
        name: Name of the site.
        first: The model to start from; None for the learner's own.

    Returns:
        The model, and what the last round gave.

    Raises:
        HanseError: As `hanse.learners.perform.perform`.
    """
    plan = _without_local_rules(plan)
    model = session.initial_parameters() if first is None else first
    trained = None
    for round_number in range(1, plan.rounds + 1):
        trained = perform(session, plan, name, Ask(round_number, round_number, "train"), model)
        model = add(model, trained.update or {})
    return model, trained


def _without_local_rules(plan: Plan) -> Plan:
    task = plan.tasks["train"]
    theirs = {need.group for entry in task.local for need in needs_of(entry)}
    combined = {name: rule for name, rule in task.discloses.groups.items() if name not in theirs}
    changes = {
        "local": (),
        "receives": tuple(name for name in task.receives if name not in theirs),
        "discloses": task.discloses.model_copy(update={"groups": combined}),
    }
    return plan.model_copy(update={"tasks": {**plan.tasks, "train": task.model_copy(update=changes)}})


def measure(
    session: Session, plan: Plan, name: str, parameters: Parameters, counted: int | None = None
) -> TaskResult:
    """Evaluate a model at a site after the plan's last round, whether or not the plan evaluates.

    Args:
        session: The code at the site.
        plan: The plan.
        name: Name of the site.
        parameters: The model.
        counted: The site's last exchange that counted; None where all did.

    Raises:
        HanseError: As `Session.perform`.
    """
    known = plan.tasks.get("evaluate")
    task = Task(
        name="evaluate",
        round_number=plan.rounds,
        seed=derive(plan.seed, "task", name, plan.rounds, "evaluate"),
        settings={} if known is None else known.learner_settings(),
    )
    return session.perform(task, parameters, sequence=AFTER_ALL, counted=counted)
