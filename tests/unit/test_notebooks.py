"""Notebooks are stored as they are read: with their outputs, and without when and where they ran."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran_from_the_first_cell_to_the_last(path: Path) -> None:
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]

    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_does_not_say_when_and_where_it_ran(path: Path) -> None:
    notebook = read(path)

    assert notebook["metadata"] == METADATA
    assert all(cell["metadata"].keys() <= {"tags"} for cell in notebook["cells"])


def test_a_page_has_the_outputs_of_its_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    pages = importlib.import_module("notebook_pages")
    cells = [
        {"cell_type": "markdown", "source": ["# A title\n", "See [the next](2-next.ipynb)."]},
        {
            "cell_type": "code",
            "source": "1 + 1",
            "outputs": [
                {"output_type": "stream", "text": ["printed\n"]},
                {"output_type": "execute_result", "data": {"text/plain": "2", "text/html": "<b>2\n\n</b>"}},
                {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
            ],
        },
    ]
    page = pages._Page("1-first")

    text = page.text({"cells": cells})

    assert text.splitlines()[0] == "# A title"
    assert "See [the next](2-next.md)." in text
    assert '```python\n1 + 1\n```\n\n```text\nprinted\n```\n\n<div class="output"><b>2 </b></div>' in text
    assert "![Picture that the cell above draws](1-first-1.png)" in text
    assert page.pictures == {"1-first-1.png": b"\0\0\0"}
