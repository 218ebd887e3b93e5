"""The plan of a script that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.script import script_plan, with_code
from hanse.errors import PlanError

SCRIPT = """\
import hanse
for round in hanse.rounds(model):
    round.report(examples=10, loss=loss, accuracy=accuracy)
"""


def test_a_script_gets_a_plan_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "Train Heart_2.py"
    script.write_text(SCRIPT)

    loaded = script_plan(script, rounds=5, seed=7, sites=2)
    plan = loaded.manifest.plan

    assert (plan.name, plan.script, plan.code) == ("train-heart-2", script.name, (script.name,))
    assert (plan.rounds, plan.seed, plan.cohort.minimum, plan.arguments) == (5, 7, 2, ())
    assert plan.tasks["train"].discloses.update == "aggregate"
    assert loaded.files == {script.name: script}


def test_its_code_is_what_it_imports_from_its_folder_and_what_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "train.py").write_text(
        "import helper\ntry:\n    import lib.fast\nexcept ImportError:\n    pass"
    )
    (tmp_path / "helper.py").write_text("from lib import slow")
    for name in ("lib/__init__.py", "lib/slow.py", "lib/fast.py", "other.py", "a.json", "b.json"):
        (tmp_path / name).touch()

    loaded = script_plan(tmp_path / "train.py", rounds=1, seed=0, sites=1, code=["*.json"])

    imported = ("helper.py", "lib/__init__.py", "lib/fast.py", "lib/slow.py")
    assert loaded.manifest.plan.code == ("train.py", "a.json", "b.json", *imported)


def test_arguments_of_the_script_stand_in_its_plan(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)

    loaded = script_plan(tmp_path / "train.py", rounds=1, seed=0, sites=1, arguments=["--lr", "0.1"])

    assert loaded.manifest.plan.arguments == ("--lr", "0.1")


def test_files_can_be_added_to_its_code(tmp_path: Path) -> None:
    for name in ("train.py", "late.py"):
        (tmp_path / name).write_text("")
    loaded = script_plan(tmp_path / "train.py", rounds=1, seed=0, sites=1)

    more = with_code(loaded, ["late.py", "train.py"])

    assert more.manifest.plan.code == ("train.py", "late.py")
    assert more.digest != loaded.digest


@pytest.mark.parametrize("name", ["---.py", "Ü.py", "x" * 100 + ".py"])
def test_a_script_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SCRIPT)

    assert script_plan(tmp_path / name, rounds=1, seed=0, sites=1).manifest.plan.script == name


@pytest.mark.parametrize(
    ("name", "rounds", "problem"),
    [
        ("none.py", 1, "there is no file none.py in .*; did you mean `fine.py`"),
        (".", 1, "is not a file"),
        ("broken.py", 1, r"broken\.py:1: "),
        ("fine.py", 0, "rounds: should be greater than or equal to 1, is 0"),
        ("notes.txt", 1, "notes.txt is not a Python file"),
    ],
)
def test_what_is_no_script_is_refused(tmp_path: Path, name: str, rounds: int, problem: str) -> None:
    (tmp_path / "fine.py").write_text(SCRIPT)
    (tmp_path / "broken.py").write_text("for")
    (tmp_path / "notes.txt").write_text("1")

    with pytest.raises(PlanError, match=problem):
        script_plan(tmp_path / name, rounds=rounds, seed=0, sites=1)


def test_a_glob_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)

    with pytest.raises(PlanError, match=r"--code \*\.json: no file fits the glob \*\.json"):
        script_plan(tmp_path / "train.py", rounds=1, seed=0, sites=1, code=["*.json"])
