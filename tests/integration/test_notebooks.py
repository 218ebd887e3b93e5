"""Each notebook runs, and gives the outputs that it is stored with, up to their numbers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def told(notebook: Any) -> list[list[str]]:
    """What each cell shows as text, with a mark for each number: other processors round otherwise."""
    return [
        [_NUMBER.sub("#", _text(output)) for output in cell.get("outputs", ())] for cell in notebook.cells
    ]


def _text(output: Any) -> str:
    text = output.text if output.output_type == "stream" else output.data.get("text/plain", "")
    return " ".join(str(text).split())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_the_outputs_that_it_is_stored_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(ROOT / "tools")
    executed = importlib.import_module("run_notebooks").executed

    assert told(executed(path)) == told(nbformat.read(path, as_version=4))
