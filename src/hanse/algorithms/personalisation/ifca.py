"""IFCA: iterative federated clustering (Ghosh et al. 2020, NeurIPS, arXiv 2006.04088, Algorithm 1).

There are k models. In each round a site picks the one with the smallest loss on its data, trains it, and
gives its change in the place of that model, with zeros in the others (option II, model averaging):

    j_i = argmin over j of loss_i(theta_j),   theta_j = sum over i of s_ij theta~_i / sum over i of s_ij

The sums over the sites do not say which model a site picked. The tensors of the run's model have a
first axis of the k models. A learner's `train` ends with `hanse.ifca_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.own_task import arrays
from hanse.core.values.groups import Group, zeros_like
from hanse.core.values.parameters import Array, Parameters, add
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "ifca"
CLUSTERS = "clusters"
MEMBERS = "members"


class IfcaSettings(Settings):
    """Settings of IFCA."""

    models: int = Field(ge=2, le=1_000, description="How many models there are (k).")


def chosen(losses: Sequence[float]) -> int:
    """The model that a site picks, by its losses on the site's data; the first of several that are alike."""
    return int(np.argmin(losses))


def ifca_answer(
    parameters: Parameters, model: int, trained: Parameters, weight: float = 1.0
) -> dict[str, Group]:
    """The groups that a site's `train` gives.

    Args:
        parameters: The models as they were received; a first axis of the models in each tensor.
        model: The one that was picked.
        trained: It after training, without that axis.
        weight: The site's weight in the mean of those that picked the same; 1 as in the paper, or the
            number of its examples.
    """
    change = {name: zeros.astype(np.float64) for name, zeros in zeros_like(parameters).items()}
    for name, values in change.items():
        values[model] = weight * (np.asarray(trained[name], np.float64) - parameters[name][model])
    count = len(next(iter(change.values())))
    members = np.zeros(count)
    members[model] = weight
    return {CLUSTERS: change, MEMBERS: members}


def merged(models: Parameters, change: Mapping[str, Array], members: Array) -> dict[str, Array]:
    """The next models: each with the mean change of the sites that picked it; others stay.

    Args:
        models: The models that the sites received.
        change: What the sites' changes add up to; a first axis of the models in each tensor.
        members: What the weights of the sites add up to, shape (models,).

    Raises:
        WorkflowError: A tensor has no such axis.
    """
    mean = {}
    for name, values in change.items():
        if values.shape[:1] != members.shape:
            raise WorkflowError(
                f"the tensor {name!r} has no first axis of the {len(members)} models of IFCA",
                mend="Stack the models: `np.stack([first[name], second[name]])`.",
            )
        weights = np.where(members > 0, members, 1.0).reshape(-1, *(1 for _ in values.shape[1:]))
        mean[name] = np.asarray(values / weights)
    return add(models, mean)


def ifca(federation: Federation) -> None:
    """Iterative federated clustering (Ghosh et al. 2020, Algorithm 1, option II)."""
    for round in federation.rounds():
        update = round.sum("train")
        members = np.asarray(update.groups[MEMBERS])
        model = merged(round.model, arrays(update, CLUSTERS), members)
        metrics = {**metrics_of(round.plan, update), **scores(round, model)}
        round.commit(model, metrics, results={MEMBERS: members})


def _keys(settings: IfcaSettings) -> Keys:
    groups = {CLUSTERS: {"like": "model", "dtype": "float64"}, MEMBERS: {"float64": [settings.models]}}
    return {
        "workflow": NAME,
        "groups": groups,
        "tasks": {"train": {"discloses": {"groups": dict.fromkeys(groups, "total")}}},
    }


IFCA = Algorithm(
    name=NAME,
    field="personalisation",
    paper="Ghosh et al. 2020, arXiv 2006.04088, Algorithm 1, option II",
    travels="All models to the sites; their changes, and how many sites picked each, over all sites.",
    sums_suffice=True,
    stays="The data; which model the site picked.",
    settings=IfcaSettings,
    keys=_keys,
    results="`members`: how many sites picked each model; and the models",
    changes=("train",),
)
