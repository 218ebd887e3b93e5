"""A plan's code, from blobs back to the files that its author had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.values.canonical import sha256
from hanse.errors import StorageError, TamperedError
from hanse.files.errors import file_errors


def write_bundle(manifest: Manifest, blob_path: Callable[[str], Path], directory: Path) -> None:
    """Write the code of a plan into a folder, read-only, each file checked against the plan.

    A file that is there already is replaced.

    Args:
        manifest: The plan that was agreed on.
        blob_path: Where the blob with a given SHA-256 is.
        directory: The folder; made where it is missing.

    Raises:
        TamperedError: A blob is not what the plan names; nothing is written of it.
        StorageError: The folder cannot be written, or a link in it leads out of it.
    """
    for file in manifest.files:
        data = _read(file, blob_path(file.sha256))
        target = directory / file.path
        with file_errors(f"write {target}"):
            if not target.parent.resolve().is_relative_to(directory.resolve()):
                raise StorageError(f"{target.parent} is a link that leads out of {directory}")
            target.parent.mkdir(parents=True, exist_ok=True)
            # Removed, not overwritten: it is read-only, or may be a link.
            target.unlink(missing_ok=True)
            target.write_bytes(data)
            target.chmod(0o444)


def _read(file: CodeFile, blob: Path) -> bytes:
    with file_errors(f"read {blob}"), blob.open("rb") as source:
        data = source.read(file.size + 1)
    if sha256(data) != file.sha256:
        raise TamperedError(f"{file.path} is not the file that the plan names: its SHA-256 differs")
    return data
