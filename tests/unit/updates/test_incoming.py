"""Updates that have come, checked, opened and folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.core.run.runs import plan

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Parameters, specs
from hanse.core.values.update import Update
from hanse.errors import DisclosureError, UpdateError
from hanse.updates.incoming import check_incoming, fold, open_incoming
from hanse.updates.origin import Origin

W = {"w": np.array([1.0, -2.0, 0.5, 8.0], np.float32)}
PLAIN, HALVED = plan(), plan(compression={"upload": ["fp16"], "smallest": 1})


def origin(agreed: Plan) -> Origin:
    return Origin(agreed, "train", "a", 1, Received(specs(W)))


def travelled(agreed: Plan) -> dict[str, Any]:
    """What travels of the update."""
    codec = origin(agreed).codec
    return dict(W) if codec is None else {t.name: t.data for t in codec.encode(W, origin(agreed).seed)}


@pytest.mark.parametrize("agreed", [PLAIN, HALVED])
def test_what_travelled_opens_as_what_it_stands_for(agreed: Plan) -> None:
    check_incoming(travelled(agreed), origin(agreed))
    opened = materialize(open_incoming(travelled(agreed), origin(agreed)))

    assert specs(opened) == specs(W)
    assert opened["w"].tolist() == W["w"].tolist()


@pytest.mark.parametrize("agreed", [PLAIN, HALVED])
@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"age": np.ones(3)}, DisclosureError, "the update of task train at a .* 'age' was not expected"),
        ({"w": np.full(4, np.nan, np.float32)}, (DisclosureError, UpdateError), "the update of task train"),
    ],
)
def test_what_is_not_declared_is_refused(
    agreed: Plan, changes: dict[str, Any], error: Any, problem: str
) -> None:
    with pytest.raises(error, match=problem):
        check_incoming(travelled(agreed) | changes, origin(agreed))


def test_answers_become_one_by_the_plans_rule() -> None:
    def answer(site: str, examples: int, value: float) -> Update:
        delta: Parameters = {"w": np.full(2, value, np.float32)}
        return Update(site, examples, {}, delta)

    answers = [answer("a", 1, 0.0), answer("b", 1, 2.0), answer("c", 2, 7.0)]
    means = {
        rule: fold(plan(aggregation={"rule": rule}), "train", answers).delta
        for rule in ("weighted_mean", "mean", "median")
    }

    assert {rule: np.asarray((mean or {})["w"]).tolist() for rule, mean in means.items()} == {
        "weighted_mean": [4.0, 4.0],
        "mean": [3.0, 3.0],
        "median": [2.0, 2.0],
    }


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("aggregation", "value"),
    [
        ({"rule": "weighted_mean"}, 5.5),
        ({"rule": "mean"}, 5.0),
        ({"rule": "median"}, 5.0),
        ({"rule": "trimmed_mean", "trim": 0.4}, 5.0),
    ],
    ids=str,
)
def test_a_site_without_examples_pulls_no_rule_towards_its_own_update(
    aggregation: dict[str, Any], value: float, streamed: bool
) -> None:
    answers = [
        Update(site, examples, {}, {"w": np.full(2, value, np.float32)})
        for site, examples, value in (("a", 1, 4.0), ("b", 0, 0.0), ("c", 0, 0.0), ("d", 3, 6.0))
    ]

    delta = fold(plan(aggregation=aggregation), "train", answers, streamed=streamed).delta

    assert np.asarray((delta or {})["w"]).tolist() == [value, value]
