"""What leaves a site of a masked sum: two sites, or one site with other data, look alike on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.deterministic.fault_plan import CALM, Shape
from tests.deterministic.service_world import ServiceWorld

pytestmark = pytest.mark.slow

SHAPE = Shape(rounds=1, minimum=3, evaluate=False, given=True, secure=True)
RANDOM = ("commitment", "public", "signature", "rho", "digest", "outcome", "known")
"""Fields that are drawn, digests of what is, or what the aggregator said: their form is the same."""
STATED = ("sum-ready", "result")
OWN = ("key", "site", "signer", "context")
"""Fields that say which site it is. The context is the same for all members."""


def sent(numbers: dict[str, str]) -> dict[str, list[Any]]:
    """All that leaves each site in one schedule, without what is drawn at random.

    Returns:
        By site, for each request its kind, its bytes, and its fields; of a file the header.
    """
    world = ServiceWorld(7, shape=SHAPE, fault_plan=CALM, numbers=numbers).run()
    left: dict[str, list[Any]] = {name: [] for name in SHAPE.sites}
    for site, kind, data in world.sent:
        if kind == "deliver":
            left[site].append((kind, len(data), data[: 8 + int.from_bytes(data[:8], "little")]))
            continue
        if kind == "sum-roster":  # the digest of a roster that the aggregator has stated
            left[site].append((kind, len(data), ""))
            continue
        told = json.loads(data)
        told.pop("receipt", None)  # the aggregator's own, whose signature has no fixed length
        left[site].append((kind, len(json.dumps(told)), _without(told, RANDOM)))
    return left


def _without(value: Any, fields: tuple[str, ...]) -> Any:
    """A message whose fields of these names keep their length only."""
    if isinstance(value, dict):
        return {
            name: len(each) if name in fields and isinstance(each, str) else _without(each, fields)
            for name, each in value.items()
        }
    return [_without(each, fields) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def usual() -> dict[str, list[Any]]:
    return sent({"a": "12 1", "b": "13 2", "c": "3 0.5"})


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param({"a": "3 1", "b": "3 2", "c": "13 0.5"}, id="other counts"),
        pytest.param({"a": "12 0", "b": "13 -7", "c": "3 20"}, id="other updates and metrics"),
        pytest.param({"a": "12 1e6", "b": "13 1e9", "c": "3 -1e7"}, id="clipped, and metrics out of range"),
        pytest.param({"a": "1000000 1", "b": "14 2", "c": "13 0.5"}, id="more examples than count"),
    ],
)
def test_requests_their_sizes_and_fields_are_the_same_with_other_data(
    usual: dict[str, list[Any]], numbers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the numbers come to is for other tests: here some are clipped.
    monkeypatch.setattr("tests.deterministic.service_checks.ServiceChecks._check_models", lambda *_: None)

    assert sent(numbers) == usual


def test_each_member_says_the_same_as_the_others_but_for_its_name_and_key(
    usual: dict[str, list[Any]],
) -> None:
    said = [
        {kind: _without(told["statement"]["body"], OWN) for kind, _, told in usual[site] if kind in STATED}
        for site in SHAPE.sites
    ]
    sizes = [[size for kind, size, _ in usual[site] if kind == "deliver"] for site in SHAPE.sites]

    assert said[0] == said[1] == said[2]
    assert sizes[0] == sizes[1] == sizes[2]
    assert said[0].keys() == set(STATED)


def test_no_number_of_the_data_is_in_a_message(usual: dict[str, list[Any]]) -> None:
    for left in usual.values():
        (outcome,) = (told["statement"]["body"] for kind, _, told in left if kind == "result")
        assert (outcome["num_examples"], outcome["metrics"]) == (0, {})
        assert {tuple(told) for kind, _, told in left if kind == "progress"} <= {("run_id", "exchange")}
