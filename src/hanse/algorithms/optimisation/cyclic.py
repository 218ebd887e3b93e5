"""Cyclic weight transfer (Chang et al. 2018, J. Am. Med. Inform. Assoc. 25(8), 945-954).

The model goes from site to site, and each site trains what the site before it gave; a round is one cycle.
The paper's order is fixed; here it is drawn in each round, as in FLamby's benchmark (Ogier du Terrail et
al. 2022, arXiv 2210.04620), or fixed with `order: fixed`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import scores
from hanse.core.values.parameters import add
from hanse.workflow.federation import Federation, Round

NAME = "cyclic"


class CyclicSettings(Settings):
    """Settings of cyclic weight transfer."""

    order: Literal["drawn", "fixed"] = Field(
        "drawn", description="Whether the order of the sites is drawn in each round, or by name."
    )


def cyclic(federation: Federation) -> None:
    """Cyclic weight transfer: one site after another trains the model, and a round is one cycle."""
    fixed = CyclicSettings.model_validate(federation.options.get(NAME, {})).order == "fixed"
    for round in federation.rounds():
        _cycle(round, fixed=fixed)


def _cycle(round: Round, *, fixed: bool) -> None:
    model, metrics = round.model, {}
    cohort = round.cohort
    order = range(len(cohort)) if fixed else round.random.permutation(len(cohort))
    for place in order:
        for update in round.ask("train", model, sites=[cohort[place]]):
            model = add(model, update.delta or {})
            metrics = dict(update.metrics)
    round.commit(model, metrics={**metrics, **scores(round, model)})


def _keys(settings: CyclicSettings) -> Keys:
    return {"workflow": NAME, "options": {NAME: settings.model_dump()}}


CYCLIC = Algorithm(
    name=NAME,
    field="optimisation",
    paper="Chang et al. 2018, doi 10.1093/jamia/ocy017",
    travels="The model from site to site, by way of the aggregator: each site's own change is seen.",
    sums_suffice=False,
    stays="The data.",
    settings=CyclicSettings,
    keys=_keys,
)
