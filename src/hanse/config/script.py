"""The plan of a training script that has none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hanse.config.code import parse_code
from hanse.config.document import Document
from hanse.config.expand import expand
from hanse.config.imports import imported_files
from hanse.config.load import LoadedPlan, gather, inside, read_code
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError


def script_plan(
    script: Path,
    *,
    rounds: int,
    seed: int,
    sites: int,
    code: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> LoadedPlan:
    """Make the plan of a training script that has none.

    Its code is the script, the files beside it that it imports, as far as reading shows, and what `code`
    names. Only the sum of the updates is disclosed; the metrics are those that the script turns out to
    report when it runs.

    Args:
        script: The Python file, with its loop over `hanse.rounds`.
        rounds: Rounds of the run.
        seed: Seed of the run.
        sites: Sites that take part, all of them in every round.
        code: More files of the code: files, folders and globs, as in a plan.
        arguments: Arguments of the script.

    Raises:
        PlanError: The script or what it imports cannot be read, or is not Python; or an entry of `code`
            names no file.
    """
    root = script.parent
    parse_code(read_code(inside(root, script.name)), str(script))
    more: list[str] = []
    for entry in code:
        try:
            more += expand(root, entry)
        except (PlanError, ValueError) as error:
            raise PlanError(f"--code {entry}: {error}") from None
    settings = {
        "name": re.sub(r"[^a-z0-9]+", "-", script.stem.lower())[:63].strip("-") or "script",
        "code": _in_order(script.name, {*more, *_imported(root, script.name)}),
        "script": script.name,
        **({"arguments": list(arguments)} if arguments else {}),
        "rounds": rounds,
        "seed": seed,
        "cohort": {"minimum": sites},
        "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
    }
    return _of(settings, str(script), root)


def with_code(loaded: LoadedPlan, files: Iterable[str]) -> LoadedPlan:
    """The same plan of a script with more files of code.

    Args:
        loaded: The plan.
        files: Paths in the plan's folder; those that are listed already change nothing.

    Raises:
        PlanError: A file cannot be read, or no plan can have so many.
    """
    plan = loaded.manifest.plan
    code = _in_order(plan.script or "", {*plan.code, *files})
    settings = {**plan.model_dump(mode="json"), "code": code}
    return _of(settings, plan.script or plan.name, loaded.root)


def _of(settings: dict[str, object], name: str, root: Path) -> LoadedPlan:
    document = Document(name, settings, {}, PlanError)
    return gather(document.check(Plan), document, root)


def _in_order(script: str, files: Iterable[str]) -> list[str]:
    return [script, *sorted(set(files) - {script})]


def _imported(root: Path, script: str) -> set[str]:
    """Files beside a script that it imports, and that those import."""
    found, todo = {script}, [script]
    while todo:
        by = todo.pop()
        module = parse_code(read_code(inside(root, by)), str(root / by))
        for file in imported_files(module, by, "", lambda path: (root / path).is_file()):
            if file.file not in found:
                found.add(file.file)
                todo.append(file.file)
    return found
