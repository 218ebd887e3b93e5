"""A plan as its author writes it, to what every party agrees on."""

from __future__ import annotations

import ast
import difflib
import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hanse.config.code import defines, parse_code
from hanse.config.document import Document
from hanse.config.expand import expanded
from hanse.config.imports import unlisted
from hanse.core.plan.manifest import MAX_CODE_BYTES, CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import SCRIPT_TASKS
from hanse.core.values.canonical import sha256
from hanse.core.values.parameters import personal_names
from hanse.core.values.wording import named
from hanse.errors import PlanError, UpdateError
from hanse.wire.tensors import read_specs


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A plan with its files, as they were when it was read.

    Attributes:
        manifest: The plan with the digests of its files.
        digest: The plan's digest.
        files: Where each file of the manifest is, by its path in the plan: code and initial model.
        root: The plan's folder.
    """

    manifest: Manifest
    digest: str
    files: Mapping[str, Path]
    root: Path


def load_plan(
    path: Path,
    shorthand: Callable[[Document], Document] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> LoadedPlan:
    """Read a plan and the files it names; no code is run.

    Args:
        path: The YAML file. The files it names stand in its folder.
        shorthand: Replaces keys of a plan file that stand for others, before the plan is checked; see
            `hanse.algorithms.presets.expanded`.
        changes: Values that stand in place of those in the file, by key of the plan.

    Raises:
        PlanError: Something is wrong with the plan or its code; tells every problem, a line each.
    """
    document = Document.load(path, PlanError).changed(changes or {})
    document = expanded(shorthand(document) if shorthand else document, path.parent)
    return gather(document.check(Plan), document, path.parent)


def gather(plan: Plan, document: Document, root: Path) -> LoadedPlan:
    """Find, check and hash the files that a plan names.

    Args:
        plan: The plan.
        document: Where it stands, for messages.
        root: The plan's folder.

    Raises:
        PlanError: Has every problem, a line each.
    """
    problems: list[str] = []
    files: dict[str, Path] = {}
    sources: dict[str, bytes] = {}
    modules: dict[str, ast.Module] = {}
    start = None
    for index, name in enumerate(plan.code):
        with _noting(problems, f"{document.place(('code', index))}: "):
            files[name] = inside(root, name)
            sources[name] = read_code(files[name])
    for name, source in sources.items():
        if name.endswith(".py"):
            with _noting(problems):
                modules[name] = parse_code(source, str(root / name))
    if plan.initial_model is not None and plan.first_model == "file":
        with _noting(problems, f"{document.place(('initial_model',))}: "):
            files[plan.initial_model] = inside(root, plan.initial_model)
            start = _hash_model(plan, plan.initial_model, files[plan.initial_model])
    problems += [f"{document.place((key,))}: {problem}" for key, problem in _misnamed(plan, modules, root)]
    if problems:
        raise document.refusal(problems)
    entries = [CodeFile(path=name, sha256=sha256(data), size=len(data)) for name, data in sources.items()]
    manifest = Manifest(plan=plan, files=tuple(entries), initial_model=start)
    return LoadedPlan(manifest, manifest.digest, files, root)


@contextmanager
def _noting(problems: list[str], place: str = "") -> Iterator[None]:
    """Go on after a problem, so that all are told at once."""
    try:
        yield
    except PlanError as error:
        problems.append(f"{place}{error}")


def inside(root: Path, name: str) -> Path:
    """Where a file of the plan's folder is.

    Raises:
        PlanError: There is no such file, or it is a link that leads out of the folder.
    """
    try:
        path = (root / name).resolve(strict=True)
        mode = path.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        there = [str(file.relative_to(root)) for file in root.glob(f"*{Path(name).suffix}")]
        close = difflib.get_close_matches(name, there, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise PlanError(f"there is no file {name} in {root.absolute()}{hint}") from None
    if not path.is_relative_to(root.resolve()):
        raise PlanError(f"{name} is a link that leads out of the plan's folder")
    if not stat.S_ISREG(mode):
        raise PlanError(f"{name} is not a file")
    return path


def read_code(path: Path) -> bytes:
    """The bytes of a file of code.

    Raises:
        PlanError: It cannot be read, or is too large.
    """
    with _readable(path), path.open("rb") as file:
        data = file.read(MAX_CODE_BYTES + 1)
    if len(data) > MAX_CODE_BYTES:
        raise PlanError(f"{path.name} is larger than {MAX_CODE_BYTES // 10**6} MB")
    return data


def _hash_model(plan: Plan, name: str, path: Path) -> CodeFile:
    try:
        # A sealed one is held against its label where it is submitted, and opened by the owner.
        kept = () if plan.sealed is not None else personal_names(read_specs(path), plan.personal)
    except UpdateError as error:
        raise PlanError(f"{error}") from None
    if kept:
        raise PlanError(
            f"{name} has the tensor {min(kept)!r}, which `personal` keeps at each site; leave it out of the "
            "file: at each site it begins as the code makes it"
        )
    with _readable(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return CodeFile(path=name, sha256=digest.hexdigest(), size=file.tell())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None


def script_folder(plan: Plan) -> str:
    """The folder that Python looks for the modules of a plan's code in, relative to the plan's folder."""
    folder = str(PurePosixPath(plan.script or "").parent)
    return "" if folder == "." else folder


def _misnamed(plan: Plan, modules: Mapping[str, ast.Module], root: Path) -> Iterator[tuple[str, str]]:
    """What the plan says of its code that the code does not bear out, by key of the plan."""
    if plan.script is not None and not plan.script.endswith(".py"):
        yield "script", f"{plan.script} is not a Python file"
    others = [] if plan.script is None else [name for name in plan.tasks if name not in SCRIPT_TASKS]
    if others:
        why = f"which workflow {plan.workflow} asks: write a learner instead of the script"
        has = f"a script has only the tasks {named(SCRIPT_TASKS)}, and the plan has `{others[0]}`"
        yield "tasks", f"{has}, {why}"
    used = {group for task in plan.tasks.values() for group in (*task.receives, *task.discloses.groups)}
    for group in sorted(plan.groups.keys() - used):
        use = "leave it out, or list it under `receives` or `discloses: groups` of a task"
        yield "groups", f"no task receives or discloses the group `{group}`: {use}"
    for key, reference in (("learner", plan.learner), ("workflow", plan.workflow)):
        module, _, function = (reference or "").partition(":")
        file = plan.module_file(module) if function else None  # `fedavg` names no module
        if file and file in modules and not defines(modules[file], function):
            yield key, f"{file} has no function `{function}` at its top level"
    for problem in unlisted(modules, plan.code, script_folder(plan), lambda file: (root / file).is_file()):
        yield "code", problem
