"""The page of the Python API says what the docstrings say."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

import hanse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("python_reference")


@pytest.mark.parametrize("name", hanse.__all__)
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert f"### hanse.{name}\n" in PAGE


def test_a_docstring_is_read_by_its_sections(reference: ModuleType) -> None:
    text, sections = reference.parsed(
        "Do it.\n\nArgs:\n    a: One,\n        shape (n,).\n    **b: Two.\n\nRaises:\n    E: No."
    )

    assert text == "Do it."
    assert list(reference.entries_of(sections["Args"])) == [("a", "One, shape (n,)."), ("**b", "Two.")]
    assert list(reference.entries_of(sections["Raises"])) == [("E", "No.")]


def test_a_long_call_stands_on_several_lines(reference: ModuleType) -> None:
    def call(first: int, /, *, second: str = "all", third: tuple[str, ...] = ("a" * 60,)) -> None: ...

    assert reference._signature("call", call).splitlines()[1:6] == [
        "call(",
        "    first: int,",
        "    *,",
        "    second: str = 'all',",
        f"    third: tuple[str, ...] = ('{'a' * 60}',),",
    ]
