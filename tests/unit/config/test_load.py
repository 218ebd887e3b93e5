"""From a plan's file to what every party agrees on."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hanse.config.document import Document
from hanse.config.load import load_plan
from hanse.core.plan.manifest import MAX_CODE_BYTES, Manifest
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError
from hanse.wire import tensors

Project = Callable[..., Path]

PLAN = """\
name: chest-xray
code: [federation.py]
learner: federation:learner
tasks:
  train: {discloses: {update: individual}}
"""
CODE = "def learner(site): ...\n"


def problems(path: Path) -> list[str]:
    with pytest.raises(PlanError) as refused:
        load_plan(path)
    return str(refused.value).splitlines()


def test_a_plan_is_loaded_with_its_code(project: Project) -> None:
    path = project(PLAN, federation=CODE)

    loaded = load_plan(path)

    assert loaded.manifest.plan.name == "chest-xray"
    assert loaded.digest == loaded.manifest.digest
    assert loaded.files == {"federation.py": path.parent / "federation.py"}
    assert loaded.root == path.parent
    [file] = loaded.manifest.files
    assert (file.path, file.size) == ("federation.py", len(CODE))
    assert file.sha256 == hashlib.sha256(CODE.encode()).hexdigest()


def test_the_digest_changes_with_the_code_and_not_with_the_comments_of_the_plan(project: Project) -> None:
    first = load_plan(project(PLAN, federation=CODE)).digest

    assert load_plan(project("# mine\n" + PLAN, federation=CODE)).digest == first
    assert load_plan(project(PLAN, federation=CODE + "# mine\n")).digest != first


def test_a_plan_in_the_working_folder_is_loaded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project(PLAN, federation=CODE)
    monkeypatch.chdir(path.parent)

    assert load_plan(Path("plan.yaml")).digest == load_plan(path).digest


def test_the_first_model_is_hashed_too(project: Project) -> None:
    path = project(PLAN + "initial_model: start.safetensors\n", federation=CODE)
    digest, size = tensors.write_hashed(
        path.parent / "start.safetensors", {"w": np.zeros(3, np.float32)}, "sha256"
    )

    loaded = load_plan(path)

    assert loaded.manifest.initial_model is not None
    assert (loaded.manifest.initial_model.sha256, loaded.manifest.initial_model.size) == (digest, size)
    assert loaded.files["start.safetensors"] == path.parent / "start.safetensors"


def test_a_sealed_first_model_is_not_looked_into(project: Project) -> None:
    sealed = "attestation: {collaborators: sites.toml}\nsealed: {owner: owner.json}\n"
    path = project(
        PLAN.replace("code: [", "code: [sites.toml, owner.json, ") + sealed + "initial_model: a.sealed\n",
        federation=CODE,
    )
    for name in ("sites.toml", "owner.json", "a.sealed"):
        (path.parent / name).write_bytes(b"not looked into")

    loaded = load_plan(path)

    assert loaded.manifest.initial_model is not None
    assert loaded.manifest.initial_model.size == 15


def test_a_first_model_that_is_no_safetensors_file_is_refused(project: Project) -> None:
    path = project(PLAN + "initial_model: federation.py\n", federation=CODE)

    [problem] = problems(path)

    assert problem.startswith(f"{path}:6: initial_model: ")


def test_a_first_model_with_tensors_that_stay_at_each_site_is_refused(project: Project) -> None:
    path = project(PLAN + "initial_model: start.safetensors\npersonal: [head.*]\n", federation=CODE)
    model = {"body": np.zeros(3, np.float32), "head.w": np.zeros(3, np.float32)}
    tensors.write_file(path.parent / "start.safetensors", model)

    [problem] = problems(path)

    assert "start.safetensors has the tensor 'head.w', which `personal` keeps at each site" in problem


def test_every_problem_of_the_code_is_told_at_once(project: Project) -> None:
    path = project(
        PLAN.replace("[federation.py]", "\n  - federation.py\n  - brocken.py\n  - misisng.py")
        + "workflow: federation:go\n",
        federation="def lerner(site): ...\n",
        brocken="x = 1\ndef f(:\n",
        missing="",
    )

    assert problems(path) == [
        f"{path}:5: code[2]: there is no file misisng.py in {path.parent}; did you mean `missing.py`?",
        f"{path.parent}/brocken.py:2: invalid syntax",
        f"{path}:6: learner: federation.py has no function `learner` at its top level",
        f"{path}:9: workflow: federation.py has no function `go` at its top level",
    ]


def test_code_is_read_and_never_run(project: Project) -> None:
    path = project(PLAN, federation="def learner(site): ...\nraise SystemExit\n")

    load_plan(path)


def test_a_link_inside_the_folder_is_followed(project: Project) -> None:
    path = project(PLAN, real=CODE)
    (path.parent / "federation.py").symlink_to("real.py")

    assert load_plan(path).manifest.files[0].size == len(CODE)


def test_a_link_that_leads_out_of_the_folder_is_refused(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.py"
    outside.write_text(CODE)
    path = project(PLAN)
    (path.parent / "federation.py").symlink_to(outside)

    assert problems(path) == [
        f"{path}:2: code[0]: federation.py is a link that leads out of the plan's folder"
    ]


def test_links_in_a_circle_are_refused(project: Project) -> None:
    path = project(PLAN)
    (path.parent / "federation.py").symlink_to("federation.py")

    assert "there is no file federation.py" in problems(path)[0]


def test_a_folder_is_no_code(project: Project) -> None:
    path = project(PLAN)
    (path.parent / "federation.py").mkdir()

    where = f"{path}:2: code[0]"
    assert problems(path) == [
        f"{where}: the folder federation.py holds no file in {path.parent}; hidden files do not count"
    ]


def test_code_that_is_too_large_is_refused(project: Project) -> None:
    path = project(PLAN)
    with (path.parent / "federation.py").open("wb") as file:
        file.truncate(MAX_CODE_BYTES + 1)

    assert problems(path) == [f"{path}:2: code[0]: federation.py is larger than 50 MB"]


def test_a_script_is_a_python_file(project: Project) -> None:
    path = project(
        PLAN.replace("learner: federation:learner", "script: train.ipynb").replace(
            "federation.py", "train.ipynb"
        )
    )
    (path.parent / "train.ipynb").write_text("{}")

    assert problems(path) == [f"{path}:3: script: train.ipynb is not a Python file"]


# What plans are made of, in any order and nesting: finds more than characters alone.
PIECES = st.sampled_from(
    [
        *[
            "name",
            "code",
            "learner",
            "tasks",
            "train",
            "discloses",
            "metrics",
            "cohort",
            "deadline",
            "options",
        ],
        *["federation.py", "federation:learner", "../x", "/etc/passwd", "30m", "1e-5", "-1", "1e999", ".nan"],
        *[
            ": ",
            ":\n  ",
            ":\n    ",
            "\n",
            "\n- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "&a ",
            "*a",
            "!!binary ",
            "|\n ",
            "? ",
        ],
        *['"\\ud800"', '"\\0"', "'", '"', "#", "---\n", "%YAML 9.9\n", "\t", "\r", "\u2028", "\ufeff", "<<"],
    ]
)
CHANGES = st.lists(st.tuples(st.integers(0, len(PLAN)), PIECES | st.text(max_size=3)), max_size=4)


@settings(deadline=None)
@given(st.text() | st.lists(PIECES).map("".join))
@example(PLAN)
@example("%YAML " + "9" * 5_000 + ".1\n---\n")
def test_any_text_is_a_plan_or_refused_in_words(text: str) -> None:
    with suppress(PlanError):
        Document.of(text, "plan.yaml", PlanError).check(Plan)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_any_change_of_a_plan_is_loaded_or_refused_in_words(
    project: Project, changes: list[tuple[int, str]]
) -> None:
    text = PLAN
    for place, piece in changes:
        text = text[:place] + piece + text[place:]
    path = project("", federation=CODE)
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))

    loaded = None
    with suppress(PlanError):
        loaded = load_plan(path)

    if loaded:
        assert Manifest.from_bytes(loaded.manifest.to_bytes(), loaded.digest) == loaded.manifest


def test_a_script_with_a_task_that_no_script_performs_is_refused(project: Project) -> None:
    plan = """\
name: mine
code: [train.py]
script: train.py
workflow: fine_tuning
tasks:
  train: {discloses: {update: individual}}
  finetune: {}
"""

    (problem,) = problems(project(plan, train="import hanse\n"))

    assert problem.endswith(
        "a script has only the tasks train and evaluate, and the plan has `finetune`, which workflow "
        "fine_tuning asks: write a learner instead of the script"
    )


def test_a_group_that_no_task_uses_is_refused(project: Project) -> None:
    (problem,) = problems(project(PLAN + "groups: {edges: {float64: [3]}}\n", federation=CODE))

    assert "groups: no task receives or discloses the group `edges`: leave it out" in problem


def test_the_size_of_results_may_have_a_unit(project: Project) -> None:
    path = project(PLAN + "max_result_bytes: 1MB\n", federation=CODE)

    manifest = load_plan(path).manifest

    assert manifest.model_dump(mode="json")["plan"]["max_result_bytes"] == 1_000_000


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("totl", "`totl` is not a rule for groups; did you mean `total`?"),
        ("{rule: krumm}", "`krumm` is not a rule for groups; did you mean `krum`?"),
        ("{rule: krum}", "the rule `krum`: byzantine: Field required"),
        ("7", "`7` is not a rule for groups; known are total, mean, weighted_mean, individual, median,"),
    ],
)
def test_a_wrong_rule_of_a_group_is_refused_in_words(project: Project, rule: str, problem: str) -> None:
    tasks = f"tasks: {{train: {{discloses: {{aggregated_by: aggregator, groups: {{edges: {rule}}}}}}}}}\n"
    plan = PLAN.partition("tasks:")[0] + "groups: {edges: {float64: [3]}}\n" + tasks

    (told,) = problems(project(plan, federation=CODE))

    assert f": tasks.train.discloses.groups.edges: {problem}" in told


def test_code_may_be_called_as_a_built_in_workflow_is(project: Project) -> None:
    plan = PLAN.replace("federation", "fedavg") + "workflow: fedavg\n"

    assert load_plan(project(plan, fedavg=CODE)).manifest.plan.workflow == "fedavg"


def test_what_masked_sums_lack_is_told_by_line(project: Project) -> None:
    path = project(
        """\
name: hearts
code: [federation.py]
learner: federation:learner
workflow: federation:workflow
initial_model: workflow
tasks:
  train: {discloses: {update: aggregate, aggregated_by: secure_aggregation, metrics: [loss]}}
aggregation: {rule: mean}
privacy:
  secure_aggregation:
    model: {clip: 1.0}
""",
        federation=CODE,
    )

    assert problems(path) == [
        f"{path}: cells: secure aggregation sums over fixed cells, and the plan has none: `hanse plan cells "
        "plan.yaml --sites FILE` writes `cells` for the sites of a list",
        f"{path}:10: privacy.secure_aggregation.metrics: loss has no range, to which each site's agent cuts "
        "it: write `metrics: {loss: [LEAST, LARGEST]}`",
    ]
