"""The shelf of algorithms."""

from __future__ import annotations

from typing import Any

import pytest
from tests.shelf import EXAMPLES

from hanse.algorithms.registry import ALGORITHMS, WORKFLOWS
from hanse.core.plan.built_in import BUILT_IN

SETTINGS: dict[str, dict[str, Any]] = {
    "fedadagrad": {"lr": 0.1},
    "fedadam": {"lr": 0.1},
    "fedyogi": {"lr": 0.1},
    "fedprox": {"mu": 0.1},
    "feddyn": {"alpha": 0.1},
    "trimmed_mean": {"trim": 0.1},
    "krum": {"byzantine": 1},
    "norm_bounding": {"norm": 1.0},
    "centred_clipping": {"norm": 1.0},
    "fedbn": {"tensors": ["*.bn*"]},
    "fedper": {"tensors": ["head.*"]},
    "ditto": {"mu": 0.1},
    "ifca": {"models": 2},
    "cross_site": {"sites": 3},
    "standardise_then_train": {"columns": ["age"], "aggregated_by": "aggregator"},
    **{name: {**e.settings, "aggregated_by": "aggregator"} for name, e in EXAMPLES.items()},
}
"""Of those that have settings without a default."""


def test_every_workflow_that_a_plan_may_name_has_its_function() -> None:
    assert WORKFLOWS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_names_a_workflow_that_there_is(name: str) -> None:
    algorithm = ALGORITHMS[name]

    keys = algorithm.keys(algorithm.settings.model_validate(SETTINGS.get(name, {})))

    assert keys["workflow"] in WORKFLOWS


@pytest.mark.parametrize("name", ALGORITHMS)
def test_who_sees_what_is_for_the_author_to_say(name: str) -> None:
    algorithm, given = ALGORITHMS[name], SETTINGS.get(name, {})

    keys = algorithm.keys(algorithm.settings.model_validate(given))

    for task in keys.get("tasks", {}).values():
        discloses = task.get("discloses", {})
        assert "update" not in discloses
        assert "individual" not in discloses.get("groups", {}).values()
        assert discloses.get("aggregated_by") in (None, given.get("aggregated_by"))
