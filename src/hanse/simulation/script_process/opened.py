"""Files beside a script that it reads: a site has them only where the plan lists them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_MOST = 1_000
"""Files that are noted."""
_CODE = frozenset({".py", ".pyc", ".so"})
_LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__"})


class Opened:
    """Notes which files in a folder the process opens to read, from now on.

    Libraries that open files without Python (HDF5, Parquet) are not noticed.

    Args:
        folder: The folder, with all in it but hidden files, code and installed packages.
        known: Files and folders that are not noted: the site's data, and those of the simulation.
    """

    def __init__(self, folder: Path, known: tuple[Path, ...]) -> None:
        self._folder = os.path.realpath(folder)
        self._known = tuple(os.path.realpath(path) for path in known)
        self._found: dict[str, None] = {}
        sys.addaudithook(self._note)

    @property
    def files(self) -> list[str]:
        """Absolute paths of the files that were opened."""
        return list(self._found)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        # Called for everything that Python reports; what is raised here would be raised in the script.
        if event != "open":
            return
        with suppress(Exception):
            path, mode, flags = arguments
            if isinstance(path, str | bytes) and _reads(mode, flags) and len(self._found) < _MOST:
                self._take(os.path.realpath(os.fsdecode(path)))

    def _take(self, path: str) -> None:
        if not path.startswith(f"{self._folder}{os.sep}") or path in self._found:
            return
        inside = Path(path).relative_to(self._folder)
        if inside.suffix in _CODE or any(part.startswith(".") or part in _LEFT_OUT for part in inside.parts):
            return
        if any(path == known or path.startswith(f"{known}{os.sep}") for known in self._known):
            return
        if Path(path).is_file():
            self._found[path] = None


def _reads(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return not set(mode) & set("wax+")
    return isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY
