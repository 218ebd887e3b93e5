"""Which rule a plan's `aggregation` stands for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hanse.aggregation.clipping import centred_clipping, norm_bounded_mean
from hanse.aggregation.geometric_median import geometric_median
from hanse.aggregation.krum import krum
from hanse.aggregation.registry import aggregate, aggregate_streamed, combine
from hanse.aggregation.robust import median, trimmed_mean
from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.robust_rules import RULES, Krum
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Update
from hanse.errors import QuorumError, UpdateError

EXAMPLES = [10, 20, 30, 40, 50]
Rule = Callable[[Sequence[Parameters]], dict[str, Array]]
EXPECTED: list[tuple[dict[str, Any], Rule]] = [
    ({"rule": "median"}, median),
    ({"rule": "trimmed_mean", "trim": 0.2}, lambda deltas: trimmed_mean(deltas, 0.2)),
    (
        {"rule": "geometric_median", "iterations": 2, "smoothing": 1.0},
        lambda deltas: geometric_median(deltas, EXAMPLES, iterations=2, smoothing=1.0),
    ),
    (
        {"rule": "geometric_median", "weights": "alike"},
        lambda deltas: geometric_median(deltas, [1] * 5, iterations=5, smoothing=1e-6),
    ),
    ({"rule": "krum", "byzantine": 1, "keep": 2}, lambda deltas: krum(deltas, 1, 2)),
    ({"rule": "norm_bounded_mean", "norm": 2.0}, lambda deltas: norm_bounded_mean(deltas, EXAMPLES, 2.0)),
    (
        {"rule": "norm_bounded_mean", "norm": 2.0, "weights": "alike"},
        lambda deltas: norm_bounded_mean(deltas, [1] * 5, 2.0),
    ),
    (
        {"rule": "centred_clipping", "norm": 2.0, "iterations": 3},
        lambda deltas: centred_clipping(deltas, 2.0, iterations=3),
    ),
]


def deltas() -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"w": rng.normal(size=(3, 4)).astype(np.float32)} for _ in EXAMPLES]


def updates(*, idle: bool = False) -> list[Update]:
    worked = [
        Update(f"site-{n}", count, {}, delta)
        for n, (count, delta) in enumerate(zip(EXAMPLES, deltas(), strict=True))
    ]
    return [*worked, Update("idle", 0, {}, {"w": np.zeros((3, 4), np.float32)})] if idle else worked


def numbers(tensors: Parameters | None) -> Any:
    assert tensors is not None
    return {name: np.asarray(array).tolist() for name, array in tensors.items()}


@pytest.mark.parametrize(("written", "rule"), EXPECTED)
def test_a_rule_is_applied_with_its_settings(written: dict[str, Any], rule: Rule) -> None:
    aggregation = Aggregation.model_validate(written)

    assert aggregation.robust is not None
    assert numbers(combine(aggregation.robust, deltas(), EXAMPLES)) == numbers(rule(deltas()))
    assert numbers(aggregate(aggregation, updates()).delta) == numbers(rule(deltas()))


def test_every_robust_rule_is_looked_at_here() -> None:
    assert {written["rule"] for written, _ in EXPECTED} == set(RULES)


@pytest.mark.parametrize("written", [written for written, _ in EXPECTED])
def test_who_had_no_examples_pulls_nothing_towards_zero(written: dict[str, Any]) -> None:
    aggregation = Aggregation.model_validate(written)

    with_idle = aggregate(aggregation, updates(idle=True))

    assert numbers(with_idle.delta) == numbers(aggregate(aggregation, updates()).delta)
    assert with_idle.sites[-1] == "idle"


@pytest.mark.parametrize("written", [written for written, _ in EXPECTED])
def test_updates_that_come_one_by_one_give_the_same_bits(written: dict[str, Any]) -> None:
    aggregation, room = Aggregation.model_validate(written), np.empty((3, 4), np.float32)

    def one_by_one() -> Any:
        for update in updates():
            assert update.delta is not None
            room[:] = update.delta["w"]
            yield Update(update.site, update.num_examples, {}, {"w": room})

    streamed = aggregate_streamed(aggregation, one_by_one())

    assert numbers(streamed.delta) == numbers(aggregate(aggregation, updates()).delta)


def test_krum_counts_only_sites_with_examples() -> None:
    with pytest.raises(QuorumError, match="needs the updates of 7 sites with examples, and there are 5"):
        aggregate(Aggregation.model_validate({"rule": "krum", "byzantine": 2}), updates(idle=True))


@pytest.mark.parametrize("written", [written for written, _ in EXPECTED if written["rule"] != "krum"])
def test_without_any_example_there_is_nothing_to_combine(written: dict[str, Any]) -> None:
    rule = Aggregation.model_validate(written).robust

    assert rule is not None
    with pytest.raises(UpdateError, match="nothing to aggregate"):
        combine(rule, deltas(), [0] * 5)


def test_a_rule_can_be_given_without_a_plan() -> None:
    chosen = combine(Krum(byzantine=1), deltas(), EXAMPLES)

    assert numbers(chosen) in [numbers(each) for each in deltas()]
