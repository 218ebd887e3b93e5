"""The key `algorithm` of a plan file."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.algorithms.presets import expanded
from hanse.config.document import Document
from hanse.errors import PlanError

TRAIN = "tasks: {train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}}"


def plan(*lines: str) -> Document:
    return Document.of("\n".join(lines), "plan.yaml", PlanError)


def value(*lines: str) -> dict[str, Any]:
    return expanded(plan(*lines)).value


def refusal(*lines: str) -> str:
    with pytest.raises(PlanError) as caught:
        expanded(plan(*lines))
    return str(caught.value)


def test_a_plan_without_an_algorithm_stays_as_it_is() -> None:
    document = plan(TRAIN)

    assert expanded(document) is document


def test_an_algorithm_is_replaced_by_the_keys_that_it_stands_for() -> None:
    found = value("algorithm: {name: fedavgm, momentum: 0.5}", TRAIN)

    optimizer = {"name": "sgd", "lr": 1.0, "momentum": 0.5}
    assert found["aggregation"] == {"server_optimizer": optimizer}
    assert found["workflow"] == "fedavg"
    assert "algorithm" not in found


def test_a_name_alone_takes_the_defaults() -> None:
    assert value("algorithm: fedavgm", TRAIN)["aggregation"]["server_optimizer"]["momentum"] == 0.9


def test_keys_of_the_author_stay() -> None:
    found = value("algorithm: {name: fedprox, mu: 0.01}", TRAIN)

    discloses = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
    assert found["tasks"]["train"] == {"discloses": discloses, "local": [{"name": "proximal", "mu": 0.01}]}


def test_a_key_that_says_the_same_is_no_contradiction() -> None:
    assert value("algorithm: one_shot", "rounds: 1", TRAIN)["rounds"] == 1


def test_a_key_that_contradicts_is_refused_with_its_line() -> None:
    told = refusal(TRAIN, "rounds: 7", "algorithm: one_shot")

    assert told == (
        "plan.yaml:3: algorithm: algorithm one_shot stands for `rounds: 1`, and the plan has `7` there: "
        "leave one of the two out"
    )


def test_an_unknown_algorithm_is_refused_with_one_that_is_close() -> None:
    assert "`fedprx` is not a known algorithm; did you mean `fedprox`?" in refusal("algorithm: fedprx")


def test_an_unknown_algorithm_that_is_close_to_none_is_refused_with_all_that_there_are() -> None:
    assert "known are fedavg, fedavgm" in refusal("algorithm: {name: zzz}")


@pytest.mark.parametrize("given", ["7", "[fedavg]", "{mu: 0.1}", "{name: [a]}"])
def test_what_is_not_an_algorithm_is_refused(given: str) -> None:
    assert "should be a name, or a table with a name" in refusal(f"algorithm: {given}")


def test_a_setting_that_is_wrong_is_refused_on_its_line() -> None:
    told = refusal(TRAIN, "algorithm:", "  name: fedprox", "  mu: -1")

    assert told.startswith("plan.yaml:4: mu: should be greater than or equal to 0")


def test_a_setting_that_is_missing_is_refused_on_the_line_of_the_algorithm() -> None:
    assert refusal(TRAIN, "algorithm: fedprox").startswith("plan.yaml:2: algorithm: fedprox lacks `mu`; ")


def test_an_unknown_setting_is_refused_with_those_that_there_are() -> None:
    assert "unknown key; known here are mu" in refusal(TRAIN, "algorithm: {name: fedprox, mu: 0, zz: 1}")


def test_a_task_whose_disclosures_the_author_has_not_written_is_refused() -> None:
    told = refusal("algorithm: {name: fedprox, mu: 0.1}", "tasks: {evaluate: {}}")

    assert "adds to the task `train`, which the plan does not have" in told


def test_what_is_wrong_in_a_key_that_was_filled_in_is_told_on_the_line_of_the_algorithm() -> None:
    found = expanded(plan(TRAIN, "algorithm: one_shot"))

    assert found.place(("rounds",)) == "plan.yaml:2: rounds"


def test_a_column_of_categories_by_its_name_alone_is_refused_with_the_line_to_write() -> None:
    told = refusal(
        "algorithm: {name: naive_bayes, columns: [age], outcome: ill, aggregated_by: aggregator}",
    )

    assert "write all of its values too: `{column: ill, categories: [0, 1]}`" in told


def test_a_value_that_is_of_no_kind_is_refused_once_and_in_words() -> None:
    told = refusal(
        "algorithm: {name: linear_regression, outcome: y, features: [3], aggregated_by: aggregator}",
    )

    assert told.splitlines()[0] == (
        "plan.yaml:1: features[0]: should be the name of a column, or `{column: NAME, categories: [...]}`"
    )


def test_a_task_that_measures_a_sites_own_model_has_the_metrics_of_evaluate_too() -> None:
    tasks = TRAIN.removesuffix("}") + ", evaluate: {discloses: {metrics: [loss, accuracy]}}}"

    found = value("algorithm: {name: ditto, mu: 0.1}", tasks)

    assert found["tasks"]["personalise"]["discloses"]["metrics"] == ["loss", "accuracy"]


def test_all_settings_that_are_missing_are_named_at_once_with_an_example() -> None:
    assert refusal("algorithm: {name: kaplan_meier, horizon: 30}") == (
        "plan.yaml:1: algorithm: kaplan_meier lacks `aggregated_by`, `time` and `event`; write for example "
        "`algorithm: {name: kaplan_meier, time: days, event: died, horizon: 366, aggregated_by: aggregator}`"
    )


def test_of_a_session_of_python_the_example_is_one_of_python() -> None:
    document = Document("hanse.simulate", {"algorithm": "fedprox"}, {}, PlanError)

    with pytest.raises(PlanError, match=r'write for example `algorithm=\{"name": "fedprox", "mu": 0\.01\}`'):
        expanded(document)
