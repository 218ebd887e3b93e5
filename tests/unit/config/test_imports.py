"""Files beside a plan's code that the code imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.code import parse_code
from hanse.config.imports import imported_files
from hanse.config.load import load_plan
from hanse.errors import PlanError

THERE = {
    "train.py",
    "helper.py",
    "random.py",
    "lib/__init__.py",
    "lib/work.py",
    "lib/deep/__init__.py",
    "loose/part.py",
    "wandb/run.log",
    "scripts/train.py",
    "scripts/util.py",
}


def found(source: str, by: str = "train.py", base: str = "") -> dict[str, bool]:
    """Files that a source imports, and whether it may do without."""
    module = parse_code(source.encode(), by)
    return {each.file: each.optional for each in imported_files(module, by, base, THERE.__contains__)}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("import helper", {"helper.py"}),
        ("import helper as h, lib.work", {"helper.py", "lib/__init__.py", "lib/work.py"}),
        ("from helper import anything", {"helper.py"}),
        ("from lib import work, VERSION", {"lib/__init__.py", "lib/work.py"}),
        ("from lib import *", {"lib/__init__.py"}),
        ("from lib.deep import x", {"lib/__init__.py", "lib/deep/__init__.py"}),
        ("from loose import part", {"loose/part.py"}),
        ("def f():\n    if x:\n        for y in z:\n            import helper", {"helper.py"}),
        ("match x:\n    case 1:\n        import helper", {"helper.py"}),
        ("import numpy, torch.nn", set()),
        ("import wandb", set()),  # a folder beside the script that is not a package
        ("import random", set()),  # Python's own is meant
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helper", set()),
        ("import train", set()),  # itself
    ],
)
def test_what_is_imported_from_the_folder_is_found(source: str, files: set[str]) -> None:
    assert set(found(source)) == files


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("from . import work", {"lib/work.py"}),
        ("from .work import x", {"lib/work.py"}),
        ("from .. import helper", {"helper.py"}),
        ("from .deep import x", {"lib/deep/__init__.py"}),
    ],
)
def test_a_relative_import_starts_at_the_folder_of_its_file(source: str, files: set[str]) -> None:
    assert set(found(source, "lib/__init__.py")) - {"lib/__init__.py"} == files


def test_a_script_in_a_folder_finds_modules_beside_it() -> None:
    assert set(found("import util, helper", "scripts/train.py", "scripts")) == {"scripts/util.py"}


def test_an_import_in_a_try_is_one_that_may_fail() -> None:
    source = "try:\n    import helper\nexcept ImportError:\n    import lib\nimport lib.work"

    assert found(source) == {"helper.py": True, "lib/__init__.py": False, "lib/work.py": False}


PLAN = """\
name: chest-xray
code: [train.py, lib]
script: train.py
tasks:
  train: {discloses: {update: individual}}
"""


def test_a_plan_whose_code_imports_a_file_that_it_does_not_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("import helper\n")
    (tmp_path / "train.py").write_text("import lib\n\nfrom helper import x\nimport other\n")
    for name in ("helper", "other"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "plan.yaml").write_text(PLAN)

    with pytest.raises(PlanError) as refused:
        load_plan(tmp_path / "plan.yaml")

    line = f"{tmp_path / 'plan.yaml'}:2: code: train.py:"
    assert str(refused.value).splitlines() == [
        f"{line}3 imports helper.py, which is not listed under `code`: no site would have it",
        f"{line}4 imports other.py, which is not listed under `code`: no site would have it",
    ]
