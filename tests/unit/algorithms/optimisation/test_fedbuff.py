"""FedBuff, beside the pseudocode of its paper."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.workflow.hosts import AGGREGATE, INDIVIDUAL, ScriptedHost, plan

from hanse.algorithms.optimisation.fedbuff import FEDBUFF, FedBuffSettings, fedbuff, step
from hanse.core.plan.exchange_limits import may_stream
from hanse.core.values.parameters import UNTRAINED
from hanse.core.values.update import Update
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

TRAIN = {"train": {"discloses": INDIVIDUAL}}


def updates(random: np.random.Generator, count: int) -> list[Update]:
    return [
        Update(f"site-{i}", 1 + i, {"loss": float(i)}, {"w": random.normal(size=3)}, staleness=i % 4)
        for i in range(count)
    ]


def test_a_step_is_that_of_the_papers_algorithm_1() -> None:
    random = np.random.default_rng(1)
    buffer, model = updates(random, 5), {"w": random.normal(size=3)}

    total = np.zeros(3)
    for update in buffer:
        assert update.delta is not None
        total = total + update.delta["w"] / np.sqrt(1 + update.staleness)
    expected = model["w"] + 0.3 * total / 5

    np.testing.assert_allclose(step(model, buffer, 0.3)["w"], expected, rtol=1e-12, atol=0)


def test_whole_numbers_get_the_mean_of_the_updates_whatever_the_learning_rate() -> None:
    deltas = [Update("a", 1, {}, {"n": np.array([2])}, 3), Update("b", 1, {}, {"n": np.array([4])}, 0)]

    assert step({"n": np.array([10])}, deltas, 0.1)["n"].tolist() == [13]


def test_each_full_buffer_is_one_round() -> None:
    host = ScriptedHost(
        committed=0, tasks=TRAIN, workflow="fedbuff", rounds=2, options={"fedbuff": {"buffer": 2}}
    )
    host.stream = {i: Update("a", 1, {"loss": 1.0}, {"w": np.full(2, i, np.float32)}) for i in range(5)}

    fedbuff(Federation(host))

    assert [commit.model["w"][0] for commit in host.commits] == [0.5, 3.0]
    assert [commit.consumed for commit in host.commits] == [(0, 1), (2, 3)]


def test_a_plan_that_discloses_sums_only_is_refused() -> None:
    with pytest.raises(ValueError, match="needs `train` to disclose an update: `individual`"):
        plan(workflow="fedbuff", tasks={"train": {"discloses": AGGREGATE}})


@pytest.mark.parametrize(("settings", "most"), [({"buffer": 4}, 5), ({"buffer": 4, "exchanges": 2}, 2)])
def test_a_site_may_fill_the_buffer_by_itself_unless_the_plan_says_less(
    settings: dict[str, int], most: int
) -> None:
    keys = FEDBUFF.keys(FedBuffSettings(**settings))

    assert keys["tasks"]["train"]["exchanges"] == most


def test_the_review_counts_the_exchanges_of_a_stream() -> None:
    assert may_stream(plan(workflow="fedbuff", tasks=TRAIN), "train")
    assert not may_stream(plan(workflow="fedavg", tasks=TRAIN), "train")


def test_running_statistics_get_the_plain_mean() -> None:
    model = {"bn.running_var": np.ones(1)}
    stale = Update("a", 1, {}, {"bn.running_var": np.full(1, -0.4)}, staleness=3)

    assert step(model, [stale], 2.0, UNTRAINED)["bn.running_var"] == pytest.approx(0.6)


def test_a_running_variance_below_zero_is_refused() -> None:
    model = {"bn.running_var": np.full(1, 0.1)}
    stale = Update("a", 1, {}, {"bn.running_var": np.full(1, -0.4)}, staleness=3)

    with pytest.raises(WorkflowError, match=r"would make the running variance 'bn\.running_var' negative"):
        step(model, [stale], 1.0, UNTRAINED)
