"""Values that stand in the code are told from plain values that were made of data."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hanse.learners.adapters.written import are_written

Load = Callable[[str, str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a file of plan code."""

    def load(name: str, text: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(f"from hanse.learners.adapters.written import are_written\n{text}\n")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ("['stroke', 'none']", True),
        ("('stroke', 'none')", True),
        ("list(range(40, 43))", True),
        ("[-41, -42]", True),
        ("sorted({'stroke': 1, 'none': 2})", False),
        ("'stroke none'.split()", False),
        ("'stroke'", False),
        ("{'stroke', 'none'}", False),
        ("None", False),
    ],
)
def test_values_are_written_where_the_code_that_gives_them_has_them(
    load: Load, values: str, written: bool
) -> None:
    module = load("plan_code", f"def given():\n    return are_written({values})")

    assert module.given() is written


def test_a_constant_of_another_file_of_the_code_is_written(load: Load) -> None:
    load("plan_constants", "LABELS = ['stroke', 'none']")
    module = load("plan_code", "import plan_constants\n\nIS = are_written(plan_constants.LABELS)")

    assert module.IS


def test_numbers_of_another_type_are_other_values(load: Load) -> None:
    module = load("plan_code", "LABELS = [40, 41]\n\ndef given(values):\n    return are_written(values)")

    assert module.given([40, 41])
    assert not module.given([40.0, 41.0])


@pytest.mark.parametrize("values", [[object()], [[1]], "ab", 5, None])
def test_what_is_no_list_of_plain_values_is_of_data(values: Any) -> None:
    assert not are_written(values)
