"""Cross-site evaluation: each site's model measured at every site.

As the cross-site validation of Roth et al. 2020 (arXiv 2009.01871) and of NVFlare: every site trains the
run's first model on its own data, and each of the models is measured at all sites. The result has a matrix
for each metric: a row for each site that trained, a column for each that measured, both in the order of the
sites' names, NaN where a site gave no answer; the last row is the mean of the models (federated averaging).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.core.values.parameters import Array, Parameters, add
from hanse.core.values.update import Update
from hanse.workflow.averages import weighted_mean
from hanse.workflow.federation import Federation, Round

NAME = "cross_site"


class CrossSiteSettings(Settings):
    """Settings of cross-site evaluation."""

    sites: int = Field(ge=1, le=10_000, description="The most sites that take part.")


def cross_site(federation: Federation) -> None:
    """Train at each site, and measure each model at every site."""
    for round in federation.rounds():
        updates = list(round.ask("train"))
        models: list[Parameters] = [add(round.model, update.delta or {}) for update in updates]
        models.append(round.apply(weighted_mean(updates)))
        answers = [list(round.ask("evaluate", model)) for model in models]
        rows = [update.site for update in updates]
        round.commit(results={NAME: matrices(round, rows, answers)})


def matrices(round: Round, rows: list[str], answers: list[list[Update]]) -> dict[str, Array]:
    """A matrix for each metric of `evaluate`, with a row for each model, and a column for each site.

    Args:
        round: The round, for its cohort and the plan's metrics.
        rows: Names of the sites that trained, of all answers but the last.
        answers: The metrics of each model.
    """
    cohort = round.cohort
    names = round.plan.tasks["evaluate"].discloses.metrics
    found = {name: np.full((len(cohort) + 1, len(cohort)), np.nan) for name in names}
    places = [*(cohort.index(site) for site in rows), len(cohort)]
    for place, answer in zip(places, answers, strict=True):
        for update in answer:
            for name, value in update.metrics.items():
                found[name][place, cohort.index(update.site)] = value
    return found


def _keys(settings: CrossSiteSettings) -> Keys:
    tasks = {"evaluate": {"exchanges": settings.sites + 1}}
    return {"workflow": NAME, "rounds": 1, "metric_digits": 17, "tasks": tasks}


CROSS_SITE = Algorithm(
    name=NAME,
    field="evaluation",
    paper="Roth et al. 2020, arXiv 2009.01871",
    travels="Each site's own model, by way of the aggregator, to every site; metrics of each at every site.",
    sums_suffice=False,
    stays="The data.",
    settings=CrossSiteSettings,
    keys=_keys,
    results="`cross_site`: a matrix for each metric; a row for each site that trained and one for the "
    "mean model, a column for each site that measured",
    changes=("train", "evaluate"),
)
