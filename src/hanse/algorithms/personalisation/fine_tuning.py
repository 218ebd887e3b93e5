"""Local fine-tuning: federated averaging, and then each site trains on by itself.

Yu et al. 2020, "Salvaging Federated Learning by Local Adaptation", arXiv 2002.04758. After the
last round each site is asked the task `finetune` once, with the last model: the learner trains it, keeps
what comes of it, and reports metrics only.
"""

from __future__ import annotations

from pydantic import Field

from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import mean_scores, metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.values.schema import Label
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "fine_tuning"
TASK = "finetune"
PREFIX = BUILT_IN[NAME].prefixes[TASK]


class FineTuningSettings(Settings):
    """Settings of local fine-tuning."""

    metrics: tuple[Label, ...] = Field(
        ("loss",),
        max_length=100,
        description="Metrics of its own model that each site reports, beside those of `evaluate`.",
    )


def fine_tuning(federation: Federation) -> None:
    """Federated averaging; in the last round, each site trains the new model on by itself."""
    plan = federation.plan
    if plan.early_stop is not None:
        raise WorkflowError(
            "`early_stop` could end the run before any site fine-tunes its model",
            mend="Leave `early_stop` out of the plan, or fine-tune in a run of its own.",
        )
    optimizer = server_optimizer(plan.aggregation)
    for round in federation.rounds():
        update = round.sum("train")
        model, state = stepped(round, delta_of(update, NAME), optimizer)
        metrics = {**metrics_of(round.plan, update), **scores(round, model)}
        if round.number == plan.rounds:
            own = mean_scores(round, TASK, model)
            metrics |= {f"{PREFIX}{name}": value for name, value in own.items()}
        round.commit(model, metrics, state)


def _keys(settings: FineTuningSettings) -> Keys:
    return {"workflow": NAME, "tasks": {TASK: {"discloses": {"metrics": list(settings.metrics)}}}}


FINE_TUNING = Algorithm(
    name=NAME,
    field="personalisation",
    paper="Yu et al. 2020, arXiv 2002.04758",
    travels="As FedAvg; metrics of the sites' own models, once.",
    sums_suffice=True,
    stays="The data; the site's own model.",
    settings=FineTuningSettings,
    keys=_keys,
    changes=("train",),
    measures=(TASK,),
)
