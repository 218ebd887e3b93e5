import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deltas import difference

from hanse.aggregation.fedavg import fed_avg
from hanse.core.values.parameters import add
from hanse.core.values.update import Update
from hanse.errors import UpdateError


def update(site: str, num_examples: int, value: float | None = None, **metrics: float) -> Update:
    delta = None if value is None else {"w": np.array([value], dtype=np.float32)}
    return Update(site, num_examples, metrics, delta)


def test_updates_are_weighted_by_their_examples() -> None:
    aggregate = fed_avg(iter([update("a", 1, 4.0, loss=1.0), update("b", 3, 0.0, loss=3.0)]))

    assert aggregate.delta is not None
    assert aggregate.delta["w"].tolist() == [1.0]
    assert aggregate.num_examples == 4
    assert aggregate.metrics == {"loss": 2.5}
    assert aggregate.sites == ("a", "b")


def test_a_uniform_mean_weighs_sites_alike_but_not_their_metrics() -> None:
    aggregate = fed_avg([update("a", 1, 4.0, loss=1.0), update("b", 3, 0.0, loss=3.0)], uniform=True)

    assert aggregate.delta is not None
    assert aggregate.delta["w"].tolist() == [2.0]
    assert aggregate.metrics == {"loss": 2.5}


def test_a_site_without_examples_is_no_part_of_a_uniform_mean() -> None:
    aggregate = fed_avg([update("a", 1, 4.0), update("b", 0, 0.0), update("c", 3, 2.0)], uniform=True)

    assert aggregate.delta is not None
    assert aggregate.delta["w"].tolist() == [3.0]


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 1000)), min_size=1, max_size=8))
def test_averaging_deltas_is_averaging_models_as_in_the_paper(sites: list[tuple[float, int]]) -> None:
    received = {"w": np.array([3.0])}
    trained = [{"w": np.array([value])} for value, _ in sites]
    updates = [
        Update(str(number), examples, {}, difference(model, received))
        for number, (model, (_, examples)) in enumerate(zip(trained, sites, strict=True))
    ]

    delta = fed_avg(updates).delta

    assert delta is not None
    total = sum(examples for _, examples in sites)  # w <- sum of n_k / n w_k
    expected = sum(examples / total * value for value, examples in sites)
    np.testing.assert_allclose(add(received, delta)["w"], [expected], atol=1e-10)


def test_an_evaluation_has_metrics_and_no_delta() -> None:
    aggregate = fed_avg([update("a", 1, loss=1.0), update("b", 1, loss=2.0)])

    assert aggregate.delta is None
    assert aggregate.metrics == {"loss": 1.5}


@pytest.mark.parametrize("uniform", [True, False])
def test_nobody_with_examples_is_an_error(uniform: bool) -> None:
    with pytest.raises(UpdateError, match="none of 2 sites had examples"):
        fed_avg([update("a", 0, 1.0), update("b", 0, 1.0)], uniform=uniform)


def test_no_updates_are_an_error() -> None:
    with pytest.raises(UpdateError, match="none of 0 sites"):
        fed_avg([])


def test_a_site_without_an_update_among_others_is_named() -> None:
    with pytest.raises(UpdateError, match="missing from b"):
        fed_avg([update("a", 1, 1.0), update("b", 1)])
