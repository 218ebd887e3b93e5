"""Cyclic weight transfer."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.workflow.hosts import AGGREGATE, INDIVIDUAL, ScriptedHost, plan

from hanse.algorithms.optimisation.cyclic import cyclic
from hanse.core.values.update import Update
from hanse.workflow.base import Request
from hanse.workflow.federation import Federation

TRAIN = {"train": {"discloses": INDIVIDUAL}}


def host(**changes: object) -> ScriptedHost:
    """Sites that halve the distance of the model to a target of their own, so that their order counts."""
    scripted = ScriptedHost(committed=0, tasks=TRAIN, workflow="cyclic", **changes)
    targets = {"a": 1.0, "b": 5.0}

    def answer(request: Request) -> tuple[Update, ...]:
        assert request.sites is not None
        assert request.model is not None
        (site,) = request.sites
        delta = (np.float32(targets[site]) - request.model["w"]) / 2
        return (Update(site, 1, {"loss": targets[site]}, {"w": delta}),)

    scripted.answer = answer
    return scripted


def test_a_site_trains_what_the_site_before_it_gave() -> None:
    scripted = host(rounds=1, options={"cyclic": {"order": "fixed"}})

    cyclic(Federation(scripted))

    # From 0: a gives 0.5, b gives (0.5 + 5) / 2.
    assert scripted.commits[0].model["w"].tolist() == [2.75, 2.75]


def test_the_order_of_sites_is_drawn_in_each_round_and_the_same_when_a_round_is_done_again() -> None:
    orders = []
    for _ in range(2):
        scripted = host(rounds=6)
        cyclic(Federation(scripted))
        orders.append([request.sites for request in scripted.asked])

    assert orders[0] == orders[1]
    assert {orders[0][i] for i in range(0, 12, 2)} == {("a",), ("b",)}


def test_a_site_that_gives_nothing_is_passed_over() -> None:
    scripted = host(rounds=1)
    answers = scripted.answer
    scripted.answer = lambda request: () if request.sites == ("b",) else answers(request)

    cyclic(Federation(scripted))

    assert scripted.commits[0].model["w"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("aggregation", [{"rule": "mean"}, {"server_optimizer": {"name": "adam"}}])
def test_an_aggregation_that_would_have_no_effect_is_refused(aggregation: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cyclic takes no mean of updates: leave out `aggregation`"):
        plan(workflow="cyclic", tasks=TRAIN, aggregation=aggregation)


def test_a_plan_that_discloses_sums_only_is_refused() -> None:
    with pytest.raises(ValueError, match="workflow cyclic needs `train` to disclose an update: `individual`"):
        plan(workflow="cyclic", tasks={"train": {"discloses": AGGREGATE}})
