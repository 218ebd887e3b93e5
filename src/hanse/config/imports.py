"""Files beside a plan's code that the code imports, found by reading it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

Exists = Callable[[str], bool]
"""Answers whether the plan's folder has a file of that path."""


@dataclass(frozen=True, slots=True)
class Import:
    """A file that another file imports.

    Attributes:
        file: The imported file, relative to the plan's folder.
        by: The file that imports it.
        line: On which line.
        optional: Whether the import stands in a `try`, so that the code may do without.
    """

    file: str
    by: str
    line: int
    optional: bool


def imported_files(module: ast.Module, by: str, base: str, exists: Exists) -> Iterator[Import]:
    """The files of the plan's folder that one file imports.

    An import for type checkers only, of Python's own modules, or of what is not in the folder is left out.

    Args:
        module: The file's code.
        by: Its path in the plan's folder.
        base: The folder that Python looks for modules in: that of the script, or "" for the plan's own.
        exists: See `Exists`.
    """
    for node, optional in _statements(module.body, optional=False):
        for start, name in _names(node, PurePosixPath(by).parent, PurePosixPath(base)):
            for file in _files(start, name, exists):
                if file != by:
                    yield Import(file, by, node.lineno, optional)


def unlisted(
    modules: Mapping[str, ast.Module], listed: Iterable[str], base: str, exists: Exists
) -> list[str]:
    """Problems with files that the code imports and the plan does not list, one a file.

    Args:
        modules: The listed files with code, by path.
        listed: All files that the plan lists.
        base: See `imported_files`.
        exists: See `Exists`.
    """
    known, said = set(listed), dict[str, str]()
    for by, module in modules.items():
        for found in imported_files(module, by, base, exists):
            if found.file not in known and not found.optional:
                said.setdefault(
                    found.file,
                    f"{found.by}:{found.line} imports {found.file}, which is not listed under `code`: "
                    "no site would have it",
                )
    return list(said.values())


def _statements(body: Iterable[ast.stmt], *, optional: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """The import statements below, and whether each is one that may fail."""
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node, optional
            case ast.Try(body=inner, handlers=handlers, orelse=orelse, finalbody=finalbody):
                yield from _statements(inner, optional=optional or bool(handlers))
                for handler in handlers:
                    yield from _statements(handler.body, optional=True)
                yield from _statements([*orelse, *finalbody], optional=optional)
            case ast.If(test=test, body=inner, orelse=orelse):
                if not _is_type_checking(test):
                    yield from _statements(inner, optional=optional)
                yield from _statements(orelse, optional=optional)
            case _:
                # Bodies of functions, classes, loops and the cases of a match.
                for part in ast.iter_child_nodes(node):
                    inner = [part] if isinstance(part, ast.stmt) else getattr(part, "body", [])
                    if isinstance(inner, list):
                        yield from _statements(inner, optional=optional)


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _names(
    node: ast.stmt, folder: PurePosixPath, base: PurePosixPath
) -> Iterator[tuple[PurePosixPath, tuple[str, ...]]]:
    """The modules that a statement may import: where to look, and the parts of the name."""
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _absolute(base, alias.name)
        case ast.ImportFrom(module=module, names=names, level=0):
            for alias in names:
                yield from _absolute(base, f"{module}.{alias.name}")
        case ast.ImportFrom(module=module, names=names, level=level):
            start = folder
            for _ in range(level - 1):
                start = start.parent
            for alias in names:
                yield start, tuple(filter(None, [*(module or "").split("."), alias.name]))
        case _:
            return


def _absolute(base: PurePosixPath, name: str) -> Iterator[tuple[PurePosixPath, tuple[str, ...]]]:
    parts = tuple(name.split("."))
    if parts[0] not in sys.stdlib_module_names:
        yield base, parts


def _files(start: PurePosixPath, name: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The files that an import of a name runs: of each package on the way, and of the module."""
    place = start
    for part in name:
        place = place / part
        if exists(package := str(place / "__init__.py")):
            yield package
        elif exists(module := f"{place}.py"):
            yield module
            return  # what follows is a name in it
        # Else a folder without `__init__.py`, in which a module may lie; or a name in the package before.
