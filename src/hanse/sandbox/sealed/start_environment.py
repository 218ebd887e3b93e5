"""The start of a party that is attested: problems that would let in code which no measurement covers.

What is measured is an image with interpreter and packages. Code that comes in by a variable, by the user's
own folder or by a `.pth` file from elsewhere would run with the party's keys, and no evidence would show it.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_HARMLESS = frozenset(
    {
        "PYTHONASYNCIODEBUG",
        "PYTHONDEVMODE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER",
        "PYTHONHASHSEED",
        "PYTHONIOENCODING",
        "PYTHONNOUSERSITE",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
    }
)
"""Variables of the interpreter by which no code can come in."""
_FAMILIES = ("PYTHON", "LD_", "GCONV_PATH", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES")
"""Beginnings of variables by which the interpreter, the loader or OpenSSL take code from elsewhere."""
_MOST_BYTES = 1 << 20
"""Of a `.pth` file."""


@dataclass(frozen=True, slots=True)
class InterpreterStart:
    """Start of an interpreter.

    Attributes:
        isolated: Whether it was started with `-I`.
        user_site: Whether packages in the user's home count.
        variables: Names of the variables of its environment that are not empty.
        path: Import path.
        prefixes: Folders that hold interpreter and packages.
        site_folders: Folders whose `.pth` files it reads.
    """

    isolated: bool
    user_site: bool
    variables: tuple[str, ...]
    path: tuple[str, ...]
    prefixes: tuple[str, ...]
    site_folders: tuple[str, ...]


def check_isolated_start() -> tuple[str, ...]:
    """Find problems of the start of this process, as sentences; none is good."""
    return problems_of(
        InterpreterStart(
            isolated=bool(sys.flags.isolated),
            user_site=bool(site.ENABLE_USER_SITE),
            variables=tuple(name for name, value in os.environ.items() if value),
            path=tuple(sys.path),
            prefixes=(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix),
            site_folders=tuple(site.getsitepackages()),
        )
    )


def problems_of(start: InterpreterStart) -> tuple[str, ...]:
    """Find problems of the start of an interpreter, as sentences; none is good."""
    return tuple(_problems(start))


def _problems(start: InterpreterStart) -> Iterator[str]:
    if not start.isolated:
        yield "Python was not started isolated: start it with -I, as `python -I -m hanse`"
    for name in sorted(start.variables):
        if name.startswith(_FAMILIES) and name not in _HARMLESS:
            yield f"the variable {name} is set, by which code can come from elsewhere: unset it"
    if start.user_site:
        yield "packages in the home of the user count: start Python with -I or -s"
    for entry in start.path:
        # An empty entry is the working directory.
        if not entry or not _is_below(Path(entry), start.prefixes):
            yield (
                f"the import path has {entry or 'the working directory'}, outside of {_named(start.prefixes)}"
            )
    for folder in dict.fromkeys(start.site_folders):
        for file in sorted(Path(folder).glob("*.pth")):
            yield from _problems_of_path_file(file, start.prefixes)


def _problems_of_path_file(file: Path, prefixes: Sequence[str]) -> Iterator[str]:
    """Problems of a `.pth` file, read as `site` reads it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        yield f"{file} cannot be read: {error.strerror}"
        return
    if len(data) > _MOST_BYTES:
        yield f"{file} is too large to be checked"
        return
    for line in data.decode("utf-8", errors="replace").splitlines():
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if line.startswith(("import ", "import\t")):
            yield f"{file} runs code at every start of Python: remove it from the image"
            return
        added = file.parent / entry
        if added.exists() and not _is_below(added, prefixes):
            yield f"{file} adds {added} to the import path, outside of {_named(prefixes)}"


def _is_below(path: Path, prefixes: Sequence[str]) -> bool:
    """Say whether a path leads below a prefix, links followed."""
    place = path.resolve()
    return any(place.is_relative_to(Path(prefix).resolve()) for prefix in prefixes)


def _named(prefixes: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(prefixes))
