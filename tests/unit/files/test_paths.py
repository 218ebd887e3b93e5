"""Paths that callers of the Python interface give."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.errors import ConfigError
from hanse.files.paths import given_path


def test_a_path_is_text_or_a_path() -> None:
    assert given_path("data/a.csv", "data") == given_path(Path("data/a.csv"), "data") == Path("data/a.csv")


def test_a_path_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert given_path("~/a.csv", "data") == tmp_path / "a.csv"


@pytest.mark.parametrize("value", [None, 3, True, b"a.csv", ["a.csv"]])
def test_other_values_are_refused_with_their_type(value: object) -> None:
    with pytest.raises(
        ConfigError, match=f"output: a value of the type {type(value).__name__} is not a path"
    ):
        given_path(value, "output")


@pytest.mark.parametrize(("value", "told"), [("a\0b", "has a NUL"), ("~no-such-user/a", "no home folder")])
def test_what_the_operating_system_cannot_look_for_is_refused(value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"output: .*{told}"):
        given_path(value, "output")
