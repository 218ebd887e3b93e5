"""Finds and copies the files that earlier versions left in `tests/upgrades/VERSION`.

Git keeps neither the modes of files nor empty folders. A key that others may read is refused, and an
agent of 0.1 expects the folders that it made; so both are restored in a copy, and what is kept is never
used itself.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSIONS = sorted(readme.parent.name for readme in HERE.glob("*/README.md"))
PORT = "28443"
"""TCP port in all settings that are kept."""


def items(part: str) -> list[Path]:
    """The folders in a part of every version, such as `plans`."""
    return [
        folder
        for version in VERSIONS
        for folder in sorted((HERE / version / part).iterdir())
        if folder.is_dir()
    ]


def named(folder: Path) -> str:
    """A folder's name for a test: `0.1-minimal`."""
    return f"{folder.relative_to(HERE).parts[0]}-{folder.name}"


def read(version: str, name: str) -> Any:
    """A JSON file of a version."""
    return json.loads((HERE / version / name).read_text(encoding="utf-8"))


def copied(version: str, directory: Path, port: int | None = None, *, empty_folders: bool = True) -> Path:
    """Copy a version's federation: `aggregator`, `sites` and the `data` that these name.

    Args:
        version: As in `VERSIONS`.
        directory: Where to; made.
        port: At which the aggregator is to listen; None leaves that of the kept settings.
        empty_folders: Whether to restore the folders that held nothing, which git does not keep.
    """
    for part in ("aggregator", "sites", "data"):
        shutil.copytree(HERE / version / part, directory / part)
    if empty_folders:
        for folder in (HERE / version / "empty-folders.txt").read_text(encoding="utf-8").splitlines():
            (directory / folder).mkdir(parents=True, exist_ok=True)
    for path in directory.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    if port is not None:
        for file in directory.rglob("*.yaml"):
            file.write_text(file.read_text(encoding="utf-8").replace(PORT, str(port)), encoding="utf-8")
    return directory
