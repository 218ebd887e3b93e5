"""Pages of the notebooks in `examples/notebooks`, with their outputs as they are stored."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "examples" / "notebooks"

_KINDS = ("image/png", "text/html", "text/markdown", "text/plain")
"""Kinds of outputs, the best first: a page shows one of those that an output has."""
_NOTEBOOK_LINK = re.compile(r"\]\(([\w-]+)\.ipynb\)")
_SCRIPTS = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>", re.DOTALL)


def notebook_pages(folder: Path) -> dict[Path, str | bytes]:
    """The page of each notebook, and its pictures.

    Args:
        folder: Where the pages stand.
    """
    found: dict[Path, str | bytes] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        page = _Page(path.stem)
        found[folder / f"{path.stem}.md"] = page.text(json.loads(path.read_text("utf-8")))
        found |= {folder / name: picture for name, picture in page.pictures.items()}
    return found


class _Page:
    """Writes a notebook as Markdown.

    Args:
        name: The notebook's name, without its ending.

    Attributes:
        pictures: Its pictures by the names of their files.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.pictures: dict[str, bytes] = {}

    def text(self, notebook: dict[str, Any]) -> str:
        """The page."""
        parts = [part for cell in notebook["cells"] for part in self._cell(cell)]
        source = f"This page is the notebook `examples/notebooks/{self._name}.ipynb` with its outputs."
        heading, *rest = parts
        first, _, more = heading.partition("\n")
        return "\n\n".join([first, source, *filter(None, [more.strip()]), *rest]) + "\n"

    def _cell(self, cell: dict[str, Any]) -> Iterator[str]:
        source = _joined(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            yield _NOTEBOOK_LINK.sub(r"](\1.md)", source)
        if cell["cell_type"] != "code":
            return
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            yield from self._output(output)

    def _output(self, output: dict[str, Any]) -> Iterator[str]:
        match output["output_type"]:
            case "stream":
                yield _as_code(_joined(output["text"]))
            case "error":
                yield _as_code(f"{output['ename']}: {output['evalue']}")
            case _:
                data = output["data"]
                kind = next((kind for kind in _KINDS if kind in data), None)
                if kind is not None:
                    yield self._shown(kind, _joined(data[kind]))

    def _shown(self, kind: str, data: str) -> str:
        if kind == "image/png":
            name = f"{self._name}-{len(self.pictures) + 1}.png"
            self.pictures[name] = base64.b64decode(data)
            return f"![Picture that the cell above draws]({name})"
        if kind == "text/html":
            # On one line: a blank line would end the HTML.
            html = " ".join(_SCRIPTS.sub("", data).split())
            return f'<div class="output">{html}</div>'
        return data.strip() if kind == "text/markdown" else _as_code(data)


def _as_code(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
