"""The user's modules: imported from their bundle, and never mixed with another bundle's."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hanse.core.values.site import Site
from hanse.errors import PlanError
from hanse.learners.base import Learner
from hanse.learners.failures import describe, is_installed, is_library, place

_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

_last_bundle: Path | None = None


def load_factory(bundle_dir: Path, reference: str) -> Callable[[Site], Learner]:
    """Import the function that makes a plan's learner.

    Args:
        bundle_dir: Folder with the plan's code files.
        reference: `module:function`; the module is a file of the bundle.

    Raises:
        PlanError: See `load_function`.
    """
    factory: Callable[[Site], Learner] = load_function(bundle_dir, reference)
    return factory


def load_function(bundle_dir: Path, reference: str) -> Callable[..., Any]:
    """Import a function from a bundle.

    The bundle's folder stays on the import path, for what its functions import later, until the next
    call: then its modules are forgotten, so that two bundles may both have a `federation.py`. Functions
    loaded earlier go on working with the modules that they have already imported.

    Args:
        bundle_dir: Folder with the plan's code files.
        reference: `module:function` or `package.module:function`.

    Returns:
        The function, its module freshly imported.

    Raises:
        PlanError: The module is not a file of the bundle or cannot be imported, or has no such function;
            says where.
    """
    if not _REFERENCE.fullmatch(reference):
        raise PlanError(f"{reference!r} must be written as module:function")
    module_name, _, name = reference.partition(":")
    folder = bundle_dir.resolve()
    _check_file(folder, module_name)
    _enter(folder)
    module = _imported(folder, module_name)
    function = _attribute(module, name)
    if callable(function):
        return function  # type: ignore[no-any-return]  # whatever the user's module holds
    raise PlanError(f"{module_name}.py has no function {name!r}", mend=_suggestion(module, name))


@contextmanager
def modules_kept(code: Iterable[str]) -> Iterator[None]:
    """Import bundles in this block without a trace in a session of Python that has modules of its own.

    Modules of the user's that have the names of a bundle's are out of the way meanwhile. At the end they
    are back, and the bundles are forgotten.

    Args:
        code: The files of the bundles' code, relative to their folder.
    """
    _leave()
    names = {Path(file).parts[0].removesuffix(".py") for file in code} - sys.stdlib_module_names
    own = {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in names and not is_installed(_source(module))
    }
    for name in own:
        del sys.modules[name]
    try:
        yield
    finally:
        _leave()
        sys.modules.update(own)


def own_modules(folder: Path) -> dict[str, ModuleType]:
    """The imported modules by name whose files lie in `folder`, installed packages excepted."""
    prefix = f"{folder}/"
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (source := _source(module)).startswith(prefix) and not is_library(source)
    }


def user_files() -> frozenset[str]:
    """Files of the imported modules that are neither installed nor Python's or Hanse's own."""
    sources = map(_source, list(sys.modules.values()))
    return frozenset(
        source for source in sources if source and not is_library(source) and not is_installed(source)
    )


def _source(module: ModuleType) -> str:
    # By `__dict__`: asking a lazy module for an attribute would load it.
    try:
        attributes = getattr(module, "__dict__", {})
        source = attributes.get("__file__") or next(iter(attributes.get("__path__", ())), "")
    except BaseException:  # noqa: BLE001  # code may put anything in the place of a module
        return ""
    return source if isinstance(source, str) else ""


def _check_file(folder: Path, module_name: str) -> None:
    path = folder.joinpath(*module_name.split("."))
    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
        return
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.py"))
    raise PlanError(
        f"the plan's code has no module {module_name!r}; it has: {', '.join(files[:20]) or 'no file'}",
        mend="List its file under `code:` in plan.yaml.",
    )


def _enter(folder: Path) -> None:
    global _last_bundle
    _leave()
    _last_bundle = folder
    sys.path.insert(0, str(folder))
    # The files may be new since the import system last looked.
    importlib.invalidate_caches()


def _leave() -> None:
    """Forget the modules of the last bundle."""
    global _last_bundle
    if _last_bundle is not None:
        for name in own_modules(_last_bundle):
            del sys.modules[name]
        if str(_last_bundle) in sys.path:
            sys.path.remove(str(_last_bundle))
    _last_bundle = None


def _imported(folder: Path, module_name: str) -> ModuleType:
    # A bundle holds what was signed and nothing else, and is read anew: no `__pycache__`.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the outermost edge of the user's code
        raise PlanError(f"cannot import {module_name}: {place(error)}: {describe(error)}") from error
    finally:
        sys.dont_write_bytecode = before
    if module_name not in own_modules(folder):
        raise PlanError(
            f"the plan's {module_name}.py has the name of another module", mend="Rename the file."
        )
    return module


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may compute its attributes
        raise PlanError(f"cannot import {name}: {place(error)}: {describe(error)}") from error


def _suggestion(module: ModuleType, name: str) -> str:
    functions = sorted(known for known, value in vars(module).items() if callable(value) and known[0] != "_")
    close = difflib.get_close_matches(name, functions, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(functions[:20]) or 'none'}."
