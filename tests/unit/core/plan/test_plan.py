"""The schema of a plan."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.core.plan.plans import TRAIN, plan
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.cohort import Cohort
from hanse.core.plan.tasks import INITIALISE, Disclosure, TaskPlan
from hanse.core.values.schema import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("90s", 90), ("30m", 1800), (" 1.5 h ", 5400), ("2d", 172_800)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "3 weeks", "-1s", "1e3s", "10", "5m 3s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write for example 90s, 30m or 1\.5h"):
        parse_duration(text)


@pytest.mark.parametrize("deadline", [0, -1, "0s", "367d", "9" * 400 + "d", float("nan"), float("inf")])
def test_a_deadline_is_above_zero_and_at_most_a_year(deadline: object) -> None:
    with pytest.raises(ValidationError, match="deadline"):
        Cohort.model_validate({"deadline": deadline})


@pytest.mark.parametrize("path", ["model.py", "lib/layers.py", ".hidden", "a b.py"])
def test_code_is_named_by_a_plain_relative_path(path: str) -> None:
    assert path in plan(code=["model.py", path] if path != "model.py" else [path]).code


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../key",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "\u202eb",
    ],
)
def test_code_outside_the_plans_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="must be a plain relative path inside the plan's folder"):
        plan(code=["model.py", path])


def test_a_file_is_listed_once() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        plan(code=["model.py", "model.py"])


def test_a_pattern_of_what_stays_at_each_site_is_listed_once() -> None:
    with pytest.raises(ValidationError, match="one of them is listed twice"):
        plan(personal=["head.*", "head.*"])


def test_a_run_without_a_model_keeps_no_tensors_of_it_at_each_site() -> None:
    task = {"receives": [], "discloses": {"metrics": ["rows"]}}

    with pytest.raises(ValidationError, match="`personal` needs a model, and the run has none"):
        plan(personal=["head.*"], initial_model="none", workflow="model:count", tasks={"count": task})


@pytest.mark.parametrize("reference", ["model", "model:", ":learner", "model:a.b", "model:f()", "mo-del:f"])
def test_a_learner_is_a_function_of_a_module(reference: str) -> None:
    with pytest.raises(ValidationError, match="must be written as module:function"):
        plan(learner=reference)


@pytest.mark.parametrize("file", ["lungs/model.py", "lungs/model/__init__.py"])
def test_the_module_of_a_learner_is_found_among_the_code(file: str) -> None:
    learned = plan(code=[file], learner="lungs.model:learner")

    assert learned.module_file("lungs.model:learner") == file


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"script": "model.py"}, "either a `learner` or a `script`"),
        ({"learner": None}, "either a `learner` or a `script`"),
        ({"learner": None, "script": "train.py"}, "`script: train.py` must be listed under `code`"),
        ({"learner": "other:learner"}, "'other:learner' needs other.py listed under `code`"),
        ({"workflow": "mine.rounds:go"}, "'mine.rounds:go' needs mine/rounds.py listed under `code`"),
        ({"workflow": "fedavgg"}, "unknown workflow 'fedavgg'; known are fedavg, evaluate"),
        ({"workflow": "mine:"}, "must be written as module:function"),
        ({"tasks": {"evaluate": {}}}, "workflow fedavg needs a task named `train`"),
        ({"tasks": {"train": {}}}, "workflow fedavg needs `train` to disclose an update"),
        ({"tasks": TRAIN | {INITIALISE: {}}}, "the name 'initialise' is taken"),
        ({"tasks": {}}, "at least 1 item"),
        ({"workflow": "evaluate"}, "needs a task named `evaluate`"),
        ({"workflow": "evaluate", "tasks": {"evaluate": {}}}, "workflow evaluate needs `initial_model`"),
        ({"keep_best": {"metric": "auc"}}, "`keep_best` looks at the metric 'auc', which no task discloses"),
        (
            {"early_stop": {"metric": "auc"}},
            "`early_stop` looks at the metric 'auc', which no task discloses",
        ),
        ({"privacy": {"differential_privacy": {}}}, "differential_privacy: not available in this version"),
        ({"privacy": {"secure": {}}}, "Extra inputs are not permitted"),
        ({"compression": ["zstd", "int8"]}, "`int8` (quantisation) must stand before `zstd`"),
        ({"compression": ["rotate"]}, "`rotate` does good only before `int8` or `int4`"),
        ({"compression": ["rotate", "drive"]}, "`rotate` does good only before"),
        ({"name": "Chest X-Ray"}, "not a valid name"),
        ({"rouns": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_when_it_is_read(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(**changes)

    assert problem in str(refused.value)


def test_a_plans_own_workflow_decides_itself_which_tasks_it_needs() -> None:
    own = plan(workflow="model:rounds", tasks={"segment": {}}, keep_best={"metric": "dice"})

    assert list(own.tasks) == ["segment"]


@pytest.mark.parametrize(
    ("discloses", "problem"),
    [
        ({"update": "aggregate"}, "must say who aggregates"),
        (
            {"update": "individual", "aggregated_by": "aggregator"},
            "goes with `update: aggregate` or combined groups only",
        ),
        ({"update": "aggregate", "aggregated_by": "server"}, "'aggregator' or 'secure_aggregation'"),
        ({"metrics": ["not a name"]}, "'not a name' is not a name: write 1 to 63"),
        ({"tensors": [""]}, "at least 1 character"),
    ],
)
def test_a_disclosure_says_who_sees_what(discloses: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Disclosure.model_validate(discloses)

    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("aggregation", "problem"),
    [
        ({"rule": "trimmed_mean"}, "go together"),
        ({"rule": "median", "trim": 0.1}, "go together"),
        ({"trim": 0.0}, "go together"),
        ({"rule": "trimmed_mean", "trim": 0.5}, "less than 0.5"),
        ({"rule": "trimmed_mean", "trim": -0.1}, "greater than or equal to 0"),
        ({"rule": "bulyan"}, "'median'"),
        ({"rule": "krum"}, "needs `byzantine`: `{rule: krum, byzantine: 1}`"),
        ({"rule": "norm_bounded_mean"}, "needs `norm`"),
        ({"rule": "centred_clipping", "iterations": 3}, "needs `norm`"),
        ({"rule": "median", "byzantine": 1}, "`byzantine` is a setting of krum, and the rule is median"),
        ({"rule": "krum", "byzantine": 1, "norm": 1.0}, "norm_bounded_mean and centred_clipping"),
        ({"iterations": 5}, "`iterations` is a setting of geometric_median and centred_clipping"),
        ({"rule": "geometric_median", "iterations": 0}, "greater than or equal to 1"),
        ({"rule": "geometric_median", "smoothing": 0.0}, "greater than 0"),
        ({"rule": "norm_bounded_mean", "norm": 0.0}, "greater than 0"),
    ],
)
def test_a_rule_says_all_that_it_needs_and_no_more(aggregation: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(aggregation=aggregation)

    assert problem in str(refused.value)


COORDINATEWISE: list[dict[str, Any]] = [{"rule": "median"}, {"rule": "trimmed_mean", "trim": 0.1}]
COMPARING: list[dict[str, Any]] = [
    {"rule": "geometric_median"},
    {"rule": "krum", "byzantine": 1},
    {"rule": "centred_clipping", "norm": 1.0},
]
BOUNDING: dict[str, Any] = {"rule": "norm_bounded_mean", "norm": 1.0}


@pytest.mark.parametrize("aggregation", [*COORDINATEWISE, *COMPARING, BOUNDING])
def test_a_rule_that_looks_at_updates_is_none_for_updates_that_nobody_sees(
    aggregation: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError, match="looks at single results, which are the sums of whole cells"):
        secure_plan(aggregation=aggregation)

    assert secure_plan({"examples": None}, aggregation={"rule": "mean"})


@pytest.mark.parametrize("aggregation", COMPARING)
@pytest.mark.parametrize("name", ["top_k", "random_k", "stc"])
def test_a_rule_that_compares_updates_is_none_for_updates_that_are_mostly_zero(
    name: str, aggregation: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=f"`{name}` leaves mostly zero differ by what it left out"):
        plan(aggregation=aggregation, compression=[name], cohort={"minimum": 5})

    assert plan(aggregation=aggregation, compression=["int4"], cohort={"minimum": 5})
    assert plan(aggregation=BOUNDING, compression=[name])


@pytest.mark.parametrize(
    ("krum", "needed"),
    [({"byzantine": 1}, 5), ({"byzantine": 2}, 7), ({"byzantine": 1, "keep": 5}, 6), ({"byzantine": 0}, 3)],
)
def test_a_plan_with_krum_waits_for_as_many_sites_as_krum_needs(krum: dict[str, int], needed: int) -> None:
    aggregation = {"rule": "krum", **krum}

    assert plan(aggregation=aggregation, cohort={"minimum": needed})
    with pytest.raises(ValidationError, match=rf"write `cohort: {{minimum: {needed}}}`"):
        plan(aggregation=aggregation, cohort={"minimum": needed - 1})


@pytest.mark.parametrize("aggregation", COORDINATEWISE)
@pytest.mark.parametrize("name", ["top_k", "random_k", "stc"])
def test_a_rule_that_orders_updates_is_none_for_updates_that_are_mostly_zero(
    name: str, aggregation: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=f"updates that `{name}` leaves mostly zero is zero"):
        plan(aggregation=aggregation, compression=[name, "zstd"])

    assert plan(aggregation=aggregation, compression=["int4", "zstd"])
    assert plan(aggregation={"rule": "mean"}, compression=[name])


def test_a_learner_finds_its_settings_in_one_place() -> None:
    task = TaskPlan(epochs=2, lr=0.1, settings={"dropout": 0.5})

    assert task.learner_settings() == {"epochs": 2, "lr": 0.1, "dropout": 0.5}


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"epochs": 1, "batches": 10}, "`epochs` or `batches`, not both"),
        ({"epochs": 1, "settings": {"epochs": 2}}, "`epochs` stands beside `settings`, not in it"),
    ],
)
def test_a_setting_is_not_said_twice(task: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TaskPlan.model_validate(task)
