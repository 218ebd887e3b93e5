"""Hold the limits on sizes that `CONTRIBUTING.md` names: files, classes, functions and folders of `src/`.

A place that may exceed a limit is listed in `EXCEPTIONS` with the reason.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "hanse"
LINES_OF = {"file": 400, "class": 250, "function": 60}
FILES_OF_FOLDER = 20
EXCEPTIONS: dict[str, str] = {}
"""Places, as printed, with the reason why the limit does not hold there."""


def oversized(root: Path) -> Iterator[str]:
    """Describe each place below `root` that exceeds its limit."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield from _beyond(str(path.relative_to(root)), "file", text.count("\n"))
        for node in ast.walk(ast.parse(text)):
            place = f"{path.relative_to(root)}:{getattr(node, 'name', '')}"
            lines = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
            if isinstance(node, ast.ClassDef):
                yield from _beyond(place, "class", lines)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _beyond(place, "function", lines)
    for folder in sorted({path.parent for path in root.rglob("*.py")}):
        count = sum(path.suffix == ".py" and path.name != "__init__.py" for path in folder.iterdir())
        place = f"{folder.relative_to(root)}/"
        if count > FILES_OF_FOLDER and place not in EXCEPTIONS:
            yield f"{place} has {count} files; at most {FILES_OF_FOLDER}"


def _beyond(place: str, kind: str, lines: int) -> Iterator[str]:
    if lines > LINES_OF[kind] and place not in EXCEPTIONS:
        yield f"{place} is a {kind} of {lines} lines; at most {LINES_OF[kind]}"


def main() -> int:
    """Print each place beyond its limit; the exit code is 1 where there is one."""
    found = list(oversized(ROOT))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
