"""What can be told of Python code by reading it: nothing is run or imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from hanse.errors import PlanError


def parse_code(source: bytes, file: str) -> ast.Module:
    """Check the syntax of a Python file.

    Args:
        source: What the file holds.
        file: The file, as messages name it.

    Raises:
        PlanError: It is not Python; says on which line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an odd escape: the author's business
            return ast.parse(source, file)
    except SyntaxError as error:
        raise PlanError(f"{file}:{error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise PlanError(f"{file}:1: cannot be read as Python: {error or 'nested too deep'}") from None


def defines(module: ast.Module, name: str) -> bool:
    """Whether a module has a function, class or other value of that name at its top level."""
    return any(bound in (name, "*") for bound in _bound(module))


def _bound(module: ast.Module) -> Iterator[str]:
    """Names that a module binds; `*` where an import brings names that cannot be told."""
    todo: list[ast.AST] = [module]
    while todo:
        match todo.pop():
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name  # and nothing of what it binds inside
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case node:
                todo.extend(ast.iter_child_nodes(node))
