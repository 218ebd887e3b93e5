"""Entries of `code` in a plan: files, folders and globs, to the files that they name."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hanse.config.dialect import Loc
from hanse.config.document import Document
from hanse.core.plan.plan import MOST_FILES
from hanse.core.values.schema import MOST_OF_PATH, check_code_path
from hanse.errors import PlanError

CODE = "code"

_MOST_SEEN = 100_000
"""Paths that one entry may be compared with: a glob over a folder of data is a slip."""
_GLOB = re.compile(r"[*?\[]")
_LEFT_OUT = ("__pycache__",)


def expanded(document: Document, root: Path) -> Document:
    """The same plan with a list of files as its `code`.

    Folders stand for every file in them, globs (`models/**/*.py`) for the files that fit. Hidden files,
    hidden folders and compiled code are left out. Each file is named once, and files of one entry in the
    order of their code points, so that the same folder gives the same plan on every machine.

    Args:
        document: The plan, not yet checked; anything else than a list of texts there is left as it is.
        root: The plan's folder.

    Raises:
        PlanError: An entry names no file, or too many.
    """
    entries = document.value.get(CODE)
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return document
    problems: list[str] = []
    files: dict[str, int] = {}
    repeated: list[tuple[str, int]] = []
    for index, entry in enumerate(entries):
        try:
            found = expand(root, entry)
        except (PlanError, ValueError) as error:
            problems.append(f"{document.place((CODE, index))}: {error}")
            continue
        if found == [entry] and entry in entries[:index]:
            repeated.append((entry, index))  # a slip, which the schema refuses
        for file in found:
            files.setdefault(file, index)
    if problems:
        raise document.refusal(problems)
    named = [*files.items(), *repeated]
    value = {**document.value, CODE: [file for file, _ in named]}
    return replace(document, value=value, lines=_lines(document.lines, [index for _, index in named]))


def expand(root: Path, entry: str) -> list[str]:
    """The files that one entry names, sorted; the entry itself where it is neither a folder nor a glob.

    Raises:
        PlanError: A folder without files, a glob that fits none, or more files than a plan can have.
        ValueError: The entry is not a path inside the plan's folder.
    """
    path = entry.removesuffix("/")
    check_code_path(path)
    if len(path) > MOST_OF_PATH:
        return [entry]  # which the schema refuses; the operating system may not even look for it
    if (root / path).is_file() or not (_GLOB.search(path) or (root / path).is_dir()):
        return [entry]
    is_folder = (root / path).is_dir()
    files = sorted(_fitting(root, f"{glob.escape(path)}/**" if is_folder else path))
    if not files:
        what = f"the folder {path} holds no file" if is_folder else f"no file fits the glob {path}"
        raise PlanError(f"{what} in {root.absolute()}; hidden files do not count")
    if len(files) > MOST_FILES:
        raise PlanError(f"{entry} names {len(files)} files, and a plan has at most {MOST_FILES}")
    return files


def _fitting(root: Path, pattern: str) -> Iterator[str]:
    """Files that fit a glob, links to folders not followed out of the plan's folder."""
    # Not `Path.glob`, which differs between versions of Python in what `**` fits, and finds hidden files.
    matches = glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    for match in itertools.islice(matches, _MOST_SEEN):
        path = Path(match)
        if path.suffix != ".pyc" and not set(path.parts) & {*_LEFT_OUT} and (root / path).is_file():
            yield path.as_posix()
    if next(matches, None) is not None:
        raise PlanError(f"{pattern} looks at more than {_MOST_SEEN} paths; name a folder of code alone")


def _lines(lines: Mapping[Loc, int], indices: list[int]) -> dict[Any, int]:
    """The line of each file: that of the entry that names it."""
    others = {loc: line for loc, line in lines.items() if loc[:1] != (CODE,) or len(loc) == 1}
    found = {
        (CODE, place): lines[CODE, index] for place, index in enumerate(indices) if (CODE, index) in lines
    }
    return others | found
