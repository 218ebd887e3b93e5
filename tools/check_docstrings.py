"""Hold the entries of docstrings below `Args:` and `Attributes:` to parameters and fields that exist."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"(Args|Attributes):$")
ENTRY = re.compile(r" {4}\*{0,2}(\w+): ")


def unknown_entries(tree: ast.Module, elsewhere: Mapping[str, ast.ClassDef]) -> Iterator[tuple[int, str]]:
    """Give the line and a description of each entry without a parameter or field."""
    classes = {**elsewhere, **classes_of(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            known = _names(node, classes)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known = _parameters(node)
        else:
            continue
        for entry in _entries(ast.get_docstring(node) or ""):
            if entry not in known:
                yield node.lineno, f"{node.name}: the docstring describes `{entry}`, which does not exist"


def classes_of(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """The classes of a file by name."""
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _entries(docstring: str) -> Iterator[str]:
    inside = False
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            inside = SECTION.match(line) is not None
        elif inside and (entry := ENTRY.match(line)):
            yield entry[1]


def _names(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    names = set[str]()
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != node.name:
            names |= _names(classes[base.id], classes)
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            names |= {part.name} | (_parameters(part) if part.name == "__init__" else set())
        elif isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self":
            names.add(part.attr)
        elif isinstance(part, ast.AnnAssign) and part in node.body:
            names.add(ast.unparse(part.target))
    return names


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    asked = function.args
    every = [*asked.posonlyargs, *asked.args, *asked.kwonlyargs, asked.vararg, asked.kwarg]
    return {parameter.arg for parameter in every if parameter is not None}


def main() -> int:
    """Print each entry whose name does not exist; the exit code is 1 where there is one."""
    files = [path for folder in ("src", "tests", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text("utf-8")) for path in files}
    classes = {name: node for tree in trees.values() for name, node in classes_of(tree).items()}
    found = [(path, *entry) for path, tree in trees.items() for entry in unknown_entries(tree, classes)]
    for path, line, problem in found:
        print(f"{path.relative_to(ROOT)}:{line}: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
