"""The check of the entries that docstrings have for parameters and fields."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[3] / "tools"

FUNCTION = '''
def send(path, *, most, **options):
    """Send a file.

    Args:
        path: The file.
        most: Bytes at most; note: {entry}
        **options: Of the request.

    Returns:
        size: Not a parameter.
    """
'''
CLASS = '''
class Sender(Base):
    """Sends files.

    Args:
        {entry}: A value.
    """

    field: int

    def __init__(self, parameter):
        self.attribute = parameter

    @property
    def computed(self): ...
'''
BASE = "class Base:\n    inherited: int\n"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("check_docstrings")


def found(check: ModuleType, source: str) -> list[tuple[int, str]]:
    return list(check.unknown_entries(ast.parse(source), check.classes_of(ast.parse(BASE))))


@pytest.mark.parametrize("entry", ["field", "parameter", "attribute", "computed", "inherited"])
def test_an_entry_of_a_class_may_name_what_the_class_has(check: ModuleType, entry: str) -> None:
    assert found(check, CLASS.format(entry=entry)) == []


def test_an_entry_of_a_class_without_a_field_is_found(check: ModuleType) -> None:
    problem = "Sender: the docstring describes `former`, which does not exist"

    assert found(check, CLASS.format(entry="former")) == [(2, problem)]


def test_entries_of_a_function_are_held_to_its_parameters(check: ModuleType) -> None:
    former = FUNCTION.format(entry="").replace("most,", "largest,")

    assert found(check, FUNCTION.format(entry="")) == []
    assert [problem for _, problem in found(check, former)] == [
        "send: the docstring describes `most`, which does not exist"
    ]
