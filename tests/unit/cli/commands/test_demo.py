"""`hanse demo` before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Hanse

from hanse.cli.commands import demo


@pytest.mark.parametrize(
    ("learner", "installs"), [("torch", "'torch<3,>=2.4'"), ("sklearn", "'scikit-learn<2,>=1.8'")]
)
def test_an_extra_that_is_missing_is_told_with_the_command_that_installs_it(
    learner: str, installs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanse: Hanse
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == learner else True)

    ended = hanse("demo", "--learner", learner)

    assert ended.code == 3
    assert f"Install it: {sys.executable} -m pip install {installs}" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path, hanse: Hanse) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()

    ended = hanse("demo", "--directory", tmp_path / "mine", "--no-keep")

    assert ended.code == 3
    assert "mine exists already" in ended.err
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that demos were run in; none is."""
    directories: list[Path] = []

    def run(root: Path, *_: Any, **__: Any) -> dict[str, Any]:
        directories.append(root)
        return {}

    monkeypatch.setattr(demo, "_run", run)
    return directories


def test_each_demo_gets_a_directory_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[Path], hanse: Hanse
) -> None:
    monkeypatch.chdir(tmp_path)

    for _ in range(3):
        hanse("demo")

    assert [path.name for path in made] == ["hanse-demo", "hanse-demo-2", "hanse-demo-3"]


def test_nothing_is_left_where_nothing_is_to_be_kept(tmp_path: Path, made: list[Path], hanse: Hanse) -> None:
    hanse("demo", "--directory", tmp_path / "new", "--no-keep")

    assert made == [tmp_path / "new"]
    assert not (tmp_path / "new").exists()
