"""SCAFFOLD: stochastic controlled averaging (Karimireddy et al. 2020, ICML, arXiv 1910.06378, Algorithm 1).

Each site corrects its gradients by c - c_i: c the control variate of the federation, which is sent with the
model, and c_i its own, which it keeps (the local rule `control_variates`; option II of line 12). With S the
sites of a round and N all of them,

    x = x + lr mean over S of (y_i - x)                      (lines 16 and 17)
    c = c + |S| / N mean over S of (c_i+ - c_i)

In both means sites count alike, as in the paper, so that the model is one at which the mean of the sites'
losses is smallest. Weighted by number of examples, c would have to stay the mean of the c_i by the same
weights; where only some sites take part, these are not known, and what c is off by would never fade. The
server's learning rate is that of the plan's `server_optimizer`; 1 where it has none.
"""

from __future__ import annotations

from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.algorithms.own_task import arrays
from hanse.core.values.groups import zeros_like
from hanse.core.values.parameters import add
from hanse.workflow.federation import Federation

NAME = "scaffold"
CONTROL = "control"


def scaffold(federation: Federation) -> None:
    """Stochastic controlled averaging (Karimireddy et al. 2020, Algorithm 1)."""
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        control = round.state.get(CONTROL) or zeros_like(round.model)
        update = round.sum("train", groups={CONTROL: control})
        model, state = stepped(round, delta_of(update, NAME), optimizer)
        change = arrays(update, CONTROL)
        control = add(dict(control), change, scale=len(update.sites) / len(round.population))
        metrics = {**metrics_of(round.plan, update), **scores(round, model)}
        round.commit(model, metrics, {**state, CONTROL: control})


def _keys(_: Settings) -> Keys:
    train = {
        "receives": ["model", CONTROL],
        "local": [{"name": "control_variates"}],
        "discloses": {"groups": {CONTROL: "mean"}},
    }
    return {
        "workflow": NAME,
        "aggregation": {"rule": "mean"},
        "groups": {CONTROL: {"like": "model"}},
        "tasks": {"train": train},
    }


SCAFFOLD = Algorithm(
    name=NAME,
    field="optimisation",
    paper="Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1, option II",
    travels="The model and the control variate to the sites; the change of both from each site.",
    sums_suffice=True,
    stays="The data; the site's own control variate.",
    settings=Settings,
    keys=_keys,
    changes=("train",),
)
