"""Tables of the algorithms' results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hanse.algorithms.registry import ALGORITHMS
from hanse.algorithms.result_tables import tables

SEX = {"column": "sex", "categories": ["f", "m"]}


def made(
    algorithm: str, settings: dict[str, Any], results: dict[str, Any]
) -> dict[str, dict[str, list[Any]]]:
    """The tables of a run with this algorithm in its plan."""
    found = ALGORITHMS[algorithm]
    keys = found.keys(found.settings.model_validate({**settings, "aggregated_by": "aggregator"}))
    plan: Any = SimpleNamespace(workflow=keys["workflow"], options=keys["options"])
    given = tables(plan, results)
    return {name: {head: values.tolist() for head, values in t.items()} for name, t in given.items()}


COEFFICIENTS = {
    "coefficients": np.arange(3.0),
    "p_values": np.zeros(3),
    "standard_errors": np.ones(3),
    "z": np.ones(3),
}
LOGISTIC = {"features": ["age", SEX], "outcome": {"column": "ill", "categories": [0, 1]}}


def test_coefficients_stand_beside_their_terms_in_a_stated_order() -> None:
    found = made("logistic_regression", LOGISTIC, {"logistic_regression": COEFFICIENTS})

    assert list(found["logistic_regression"]) == ["term", "coefficient", "standard_error", "z", "p_value"]
    assert found["logistic_regression"]["term"] == ["intercept", "age", "sex=m"]


def test_what_else_an_algorithm_gives_of_a_shape_stands_at_the_end() -> None:
    results = {"logistic_regression": {"a_new_one": np.arange(3), **COEFFICIENTS}}

    assert list(made("logistic_regression", LOGISTIC, results)["logistic_regression"])[-1] == "a_new_one"


def test_curves_have_a_row_for_each_category_and_time() -> None:
    settings = {"time": "t", "event": "e", "times": [1, 5], "by": SEX}
    curves = {"times": np.array([1.0, 5.0]), "survival": np.array([[1, 0.5], [0.9, 0.8]])}

    assert made("kaplan_meier", settings, {"kaplan_meier": curves}) == {
        "kaplan_meier": {
            "category": ["f", "f", "m", "m"],
            "time": [1, 5, 1, 5],
            "survival": [1, 0.5, 0.9, 0.8],
        }
    }


def test_quantiles_are_named_in_the_order_of_their_arrays() -> None:
    settings = {"ranges": {"t": [0, 1], "age": [0, 1]}, "quantiles": [0.9, 0.1]}

    found = made("quantiles", settings, {"quantiles": {"value": np.array([[1, 2], [3, 4]])}})

    assert found["quantiles"] == {
        "column": ["age", "age", "t", "t"],
        "quantile": [0.9, 0.1, 0.9, 0.1],
        "value": [1, 2, 3, 4],
    }


def test_a_histogram_has_the_edges_of_its_bins() -> None:
    settings = {"columns": ["a", "b"], "ranges": {"b": [0, 4]}, "bins": 2}

    found = made("summary", settings, {"summary_histogram": {"histogram": np.array([[3, 5]])}})

    assert found["summary_histogram"] == {
        "column": ["b", "b"],
        "bin": [1, 2],
        "lower": [0, 2],
        "upper": [2, 4],
        "count": [3, 5],
    }


def test_a_contingency_table_has_a_row_for_each_cell_and_its_test_apart() -> None:
    settings = {"rows": SEX, "columns": {"column": "ill", "categories": [False, True]}}
    results = {"contingency": {"counts": np.array([[1, 2], [3, 4]]), "p_value": np.array(0.5)}}

    assert made("contingency", settings, results) == {
        "contingency": {
            "row": ["f", "f", "m", "m"],
            "column": ["False", "True", "False", "True"],
            "count": [1, 2, 3, 4],
        },
        "contingency_test": {"p_value": [0.5]},
    }


def test_correlations_name_both_columns() -> None:
    found = made("summary", {"columns": ["a", "b"]}, {"summary_matrices": {"correlation": np.eye(2)}})

    assert found["summary_matrices"] == {
        "column_a": ["a", "a", "b", "b"],
        "column_b": ["a", "b", "a", "b"],
        "correlation": [1, 0, 0, 1],
    }


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_an_array_of_another_shape_than_expected_is_a_table_of_its_own(shape: tuple[int, ...]) -> None:
    found = made("logistic_regression", LOGISTIC, {"logistic_regression": {"coefficients": np.zeros(shape)}})

    assert list(found) == ["logistic_regression-coefficients"]


def test_results_of_other_workflows_are_tables_by_their_shapes() -> None:
    plan: Any = SimpleNamespace(workflow="own:count", options={})

    assert list(tables(plan, {"total": np.ones(3)})["total"]) == ["total"]


def test_options_of_another_version_give_tables_by_shapes() -> None:
    plan: Any = SimpleNamespace(workflow="summary", options={"summary": {"unknown": 1}})

    assert list(tables(plan, {"summary": {"mean": np.ones(2)}})["summary"]) == ["mean"]
