"""The temporary directory of a worker, in its workspace, where nothing stays."""

from __future__ import annotations

from pathlib import Path

from hanse.files.deleting import delete_tree, empty_folder

_NAME = "tmp"


def make_temporary(workspace: Path) -> None:
    """Make the temporary directory where it is missing; delete what an earlier worker left in it.

    A link in its place stays: the worker that is about to start is refused for it.

    Raises:
        OSError: The workspace cannot be written.
    """
    place = workspace / _NAME
    place.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        empty_folder(place)


def empty_temporary(workspace: Path) -> None:
    """Delete what a worker that has ended left in its temporary directory, or in the place of it."""
    place = workspace / _NAME
    if place.is_dir() and not place.is_symlink():
        empty_folder(place)
    else:
        delete_tree(place)
