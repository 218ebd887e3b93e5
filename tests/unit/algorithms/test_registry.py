"""The shelf of algorithms."""

from __future__ import annotations

from tests.shelf import EXAMPLES

from hanse.algorithms.registry import ALGORITHMS, WORKFLOWS
from hanse.core.plan.built_in import BUILT_IN


def test_every_workflow_that_a_plan_may_name_has_its_function() -> None:
    assert WORKFLOWS.keys() == BUILT_IN.keys()


def test_every_algorithm_names_a_workflow_that_there_is() -> None:
    tables = {name: {**e.settings, "aggregated_by": "aggregator"} for name, e in EXAMPLES.items()}
    examples = {"fedprox": {"mu": 0.1}, "fedbn": {"tensors": ["*.bn*"]}, "fedper": {"tensors": ["head.*"]}}
    examples |= {
        "ifca": {"models": 2},
        "cross_site": {"sites": 3},
        "ditto": {"mu": 0.1},
        "feddyn": {"alpha": 0.1},
    }
    examples["standardise_then_train"] = {"columns": ["age"], "aggregated_by": "aggregator"}
    adaptive = {name: {"lr": 0.1} for name in ("fedadagrad", "fedadam", "fedyogi")}
    for name, algorithm in ALGORITHMS.items():
        settings = algorithm.settings.model_validate((tables | examples | adaptive).get(name, {}))
        assert algorithm.keys(settings)["workflow"] in WORKFLOWS
