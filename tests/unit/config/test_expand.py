"""Folders and globs in a plan's `code`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hanse.config.load import load_plan
from hanse.errors import PlanError

Project = Callable[..., Path]

PLAN = """\
name: chest-xray
code: [{code}]
script: train.py
tasks:
  train: {{discloses: {{update: individual}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A script, a package and data files of the code; gives the folder."""
    for name in (
        "train.py",
        "models/__init__.py",
        "models/unet.py",
        "models/deep/blocks.py",
        "configs/b.yaml",
        "configs/a.yaml",
        "configs/notes.txt",
        "configs/.secret.yaml",
        "models/__pycache__/unet.cpython-312.pyc",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("" if name.endswith(".py") else name)
    return tmp_path


def code_of(folder: Path, code: str) -> tuple[str, ...]:
    (folder / "plan.yaml").write_text(PLAN.format(code=code))
    return load_plan(folder / "plan.yaml").manifest.plan.code


@pytest.mark.parametrize(
    ("entry", "files"),
    [
        ("configs/*.yaml", ("configs/a.yaml", "configs/b.yaml")),
        ("models/**/*.py", ("models/__init__.py", "models/deep/blocks.py", "models/unet.py")),
        ("models", ("models/__init__.py", "models/deep/blocks.py", "models/unet.py")),
        ("models/", ("models/__init__.py", "models/deep/blocks.py", "models/unet.py")),
        ("configs/[ab].yaml", ("configs/a.yaml", "configs/b.yaml")),
    ],
)
def test_an_entry_stands_for_the_files_that_are_there(
    folder: Path, entry: str, files: tuple[str, ...]
) -> None:
    assert code_of(folder, f"train.py, '{entry}'") == ("train.py", *files)


def test_a_file_that_two_entries_name_is_one_file(folder: Path) -> None:
    assert code_of(folder, "'*.py', train.py, models/unet.py, 'models/u*'") == ("train.py", "models/unet.py")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    (folder / "configs" / "[a].yaml").write_text("")

    assert code_of(folder, "train.py, 'configs/[a].yaml'") == ("train.py", "configs/[a].yaml")


def test_the_plan_is_the_same_as_with_its_files_listed(folder: Path) -> None:
    listed = code_of(folder, "train.py, configs/a.yaml, configs/b.yaml")

    assert code_of(folder, "train.py, 'configs/*.yaml'") == listed


def test_a_new_file_that_fits_makes_another_plan(folder: Path) -> None:
    code_of(folder, "train.py, models")
    before = load_plan(folder / "plan.yaml").digest

    (folder / "models" / "resnet.py").write_text("")

    assert load_plan(folder / "plan.yaml").digest != before


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("conf/*.yaml", "no file fits the glob conf/*.yaml in "),
        ("empty", "the folder empty holds no file in "),
        ("../*.py", "'../*.py' must be a plain relative path inside the plan's folder"),
        ("/etc/*", "'/etc/*' must be a plain relative path inside the plan's folder"),
        ("a" * 5000, "should have at most 200 characters"),
        ("many", "many names 501 files, and a plan has at most 500"),
    ],
)
def test_an_entry_that_names_no_list_of_files_is_refused_with_its_line(
    folder: Path, entry: str, problem: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "many").mkdir()
    for number in range(501):
        (folder / "many" / f"{number}.txt").touch()

    with pytest.raises(PlanError) as refused:
        code_of(folder, f"train.py, '{entry}'")

    assert str(refused.value).startswith(f"{folder / 'plan.yaml'}:2: code[1]: {problem}")


def test_a_problem_of_an_expanded_file_is_told_at_the_line_of_its_entry(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "c.yaml"
    outside.write_text("")
    (folder / "configs" / "c.yaml").symlink_to(outside)

    with pytest.raises(PlanError) as refused:
        code_of(folder, "\n  train.py,\n  'configs/*.yaml'")

    place = f"{folder / 'plan.yaml'}:4: code[3]"
    assert str(refused.value) == f"{place}: configs/c.yaml is a link that leads out of the plan's folder"


def test_a_file_listed_twice_is_still_a_slip(folder: Path) -> None:
    with pytest.raises(PlanError, match="a file is listed twice"):
        code_of(folder, "train.py, train.py")
