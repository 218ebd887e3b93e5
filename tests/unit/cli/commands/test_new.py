"""`hanse new`: a project that runs at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import Hanse


@pytest.mark.parametrize(
    "template",
    [
        "numpy",
        "script",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_a_new_project_runs_with_the_command_that_is_told(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanse: Hanse
) -> None:
    monkeypatch.chdir(tmp_path)

    made = hanse("new", "tumours", "--template", template)

    told = next(line for line in made.out.splitlines() if "hanse simulate" in line)
    command = told.split("   ")[0].split()
    assert "  2/2  " in hanse(*command[1:], "--rounds", 2).out


def test_a_new_project_of_statistics_gives_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanse: Hanse
) -> None:
    monkeypatch.chdir(tmp_path)
    hanse("new", "ages", "--template", "table")

    ended = hanse("simulate", "ages/plan.yaml", "--sites", 4, "--output", "out")

    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "results" / "summary.csv").is_file()


def test_an_extra_that_the_template_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanse: Hanse
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert "pip install 'hanse[torch]'" in hanse("new", tmp_path / "a", "--template", "torch").out
    assert "pip install" not in hanse("new", tmp_path / "b", "--template", "script").out


def test_its_plan_has_the_name_of_the_folder(tmp_path: Path, hanse: Hanse) -> None:
    hanse("new", tmp_path / "tumours")

    assert "name: tumours\n" in (tmp_path / "tumours" / "plan.yaml").read_text()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, hanse: Hanse) -> None:
    (tmp_path / "tumours").mkdir()

    ended = hanse("new", tmp_path / "tumours")

    assert ended.code == 3
    assert "exists already" in ended.err
    assert list((tmp_path / "tumours").iterdir()) == []


def test_a_folder_whose_name_no_plan_can_have_is_not_made(tmp_path: Path, hanse: Hanse) -> None:
    ended = hanse("new", tmp_path / "My Tumours")

    assert ended.code == 3
    assert "not a valid name" in ended.err
    assert list(tmp_path.iterdir()) == []
