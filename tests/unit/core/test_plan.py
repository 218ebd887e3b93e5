"""The schema of a plan, and the manifest that its digest is taken of."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.core.canonical import canonical_json, sha256
from hanse.core.plan import INITIALISE, MAX_CODE_BYTES, CodeFile, Cohort, Disclosure, Manifest, Plan, TaskPlan
from hanse.core.schema import parse_duration
from hanse.errors import PlanError, TamperedError

DIGEST = "0" * 64
TRAIN = {"train": {"discloses": {"update": "individual"}}}


def plan(**changes: Any) -> Plan:
    return Plan.model_validate(
        {"name": "chest-xray", "code": ["model.py"], "learner": "model:learner", "tasks": TRAIN} | changes
    )


def manifest(**changes: Any) -> Manifest:
    agreed = plan(**changes)
    files = tuple(CodeFile(path=path, sha256=DIGEST, size=1) for path in agreed.code)
    return Manifest(plan=agreed, files=files)


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
        ({"compression": ["zstd", "int8"]}, "`int8` (quantisation) must stand before `zstd`"),
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
        ({"update": "individual", "aggregated_by": "aggregator"}, "goes with `update: aggregate` only"),
        ({"update": "aggregate", "aggregated_by": "secure_aggregation"}, "not available in this version"),
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
        ({"rule": "krum"}, "'median'"),
    ],
)
def test_a_rule_says_all_that_it_needs_and_no_more(aggregation: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(aggregation=aggregation)

    assert problem in str(refused.value)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean"])
def test_a_rule_that_orders_updates_is_none_for_updates_that_nobody_sees(rule: str) -> None:
    hidden = Disclosure.model_construct(update="aggregate", aggregated_by="secure_aggregation")
    aggregation = {"rule": rule} | ({"trim": 0.1} if rule == "trimmed_mean" else {})

    with pytest.raises(ValidationError, match="needs individual updates, which nobody sees"):
        plan(aggregation=aggregation, tasks={"train": TaskPlan(discloses=hidden)})

    assert plan(aggregation={"rule": "mean"}, tasks={"train": TaskPlan(discloses=hidden)})


@pytest.mark.parametrize("aggregation", [{"rule": "median"}, {"rule": "trimmed_mean", "trim": 0.1}])
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


def test_a_manifest_reads_back_from_its_bytes() -> None:
    agreed = manifest(rounds=20, cohort={"deadline": "30m"}, options={"note": "Grüße", "depth": [1, None]})

    assert Manifest.from_bytes(agreed.to_bytes(), agreed.digest) == agreed


@given(st.integers(1, 10**6), st.floats(0.001, 1.0), st.dictionaries(st.text("ab"), st.floats(-1e9, 1e9)))
def test_the_digest_survives_the_journey(rounds: int, fraction: float, options: dict[str, float]) -> None:
    agreed = manifest(rounds=rounds, cohort={"fraction": fraction}, options=options)

    assert Manifest.from_bytes(agreed.to_bytes(), agreed.digest).digest == agreed.digest


def test_plans_that_differ_have_different_digests() -> None:
    assert manifest(rounds=20).digest != manifest(rounds=21).digest


def test_how_a_number_is_written_does_not_change_the_digest() -> None:
    assert manifest(cohort={"deadline": "30m"}).digest == manifest(cohort={"deadline": 1800}).digest


def test_bytes_that_the_digest_does_not_name_are_refused() -> None:
    agreed = manifest()

    with pytest.raises(TamperedError, match=f"not plan {agreed.digest[:12]}"):
        Manifest.from_bytes(manifest(rounds=2).to_bytes(), agreed.digest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"rounds":1', b'"rounds":"1"'),  # what it means is clear, but it is written in a second way
        (b'"rounds":1', b'"rounds": 1'),
        (b'"options":{}', b'"options":{"a":1,"a":1}'),
        (b'"options":{}', b'"options":{"a":1e999}'),
        (b'"options":{}', b'"options":{"a":NaN}'),
        (b'"options":{}', b'"options":{"a":"\\ud800"}'),
        (b'"options":{}', b'"options":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        (b'"options":{}', b'"options":{"a":' + b"9" * 5_000 + b"}"),
        (b'"rounds":1', b'"rounds":0'),
        (b'"rounds":1', b'"rounds":1,"surprise":1'),
        (b"hanse-plan/1", b"hanse-plan/2"),
        (b"}", b""),
    ],
)
def test_a_manifest_has_one_way_to_be_written(old: bytes, new: bytes) -> None:
    data = manifest().to_bytes()
    assert old in data
    forged = data.replace(old, new)

    with pytest.raises(PlanError, match=sha256(forged)[:12]):
        Manifest.from_bytes(forged, sha256(forged))


def test_a_manifest_from_elsewhere_that_names_the_wrong_place_says_where() -> None:
    data = canonical_json({"format": "hanse-plan/1", "plan": {}, "files": 3})

    with pytest.raises(PlanError, match=r"does not understand plan \w{12}: plan\.name: Field required"):
        Manifest.from_bytes(data, sha256(data))


def test_the_files_of_a_manifest_are_the_plans_code() -> None:
    with pytest.raises(ValidationError, match="not the files that the plan lists"):
        Manifest(plan=plan(), files=(CodeFile(path="other.py", sha256=DIGEST, size=1),))


def test_a_file_of_code_is_small_enough_to_be_read_whole() -> None:
    with pytest.raises(ValidationError, match=r"model\.py is larger than 50 MB"):
        Manifest(plan=plan(), files=(CodeFile(path="model.py", sha256=DIGEST, size=MAX_CODE_BYTES + 1),))


@pytest.mark.parametrize("path", [None, "other.safetensors"])
def test_the_first_model_of_a_manifest_is_the_plans(path: str | None) -> None:
    code = (CodeFile(path="model.py", sha256=DIGEST, size=1),)
    other = CodeFile(path=path, sha256=DIGEST, size=1) if path else None

    with pytest.raises(ValidationError, match="`initial_model` of the manifest is not the one"):
        Manifest(plan=plan(initial_model="start.safetensors"), files=code, initial_model=other)


def test_the_first_model_may_be_larger_than_code() -> None:
    code = (CodeFile(path="model.py", sha256=DIGEST, size=1),)
    start = CodeFile(path="start.safetensors", sha256=DIGEST, size=14_000_000_000)

    agreed = Manifest(plan=plan(initial_model=start.path), files=code, initial_model=start)

    assert agreed.initial_model == start
