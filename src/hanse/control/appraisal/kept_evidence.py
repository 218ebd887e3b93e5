"""Evidence beside a party's journal, which has digests: an auditor who gets the files appraises again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from hanse.core.values.canonical import sha256
from hanse.errors import StorageError
from hanse.files.atomic import write_file

logger = logging.getLogger(__name__)

EVIDENCE = "evidence"
COLLATERAL_USED = "collateral-used"
MOST_FILES = 1_000
"""Files of each of both folders."""


def keep_evidence(folder: Path, evidence: bytes, documents: Iterable[bytes]) -> str:
    """Keep evidence and the collateral that it was appraised with, each under its digest.

    What cannot be kept is left out with a warning: the journal has the digests all the same.

    Args:
        folder: `attestation` in the party's folder.
        evidence: The file of evidence.
        documents: The collateral that was used.

    Returns:
        SHA-256 of the evidence.
    """
    digest = sha256(evidence)
    _keep(folder / EVIDENCE / f"{digest}.json", evidence)
    for document in documents:
        _keep(folder / COLLATERAL_USED / sha256(document), document)
    return digest


def _keep(path: Path, data: bytes) -> None:
    if path.exists():
        return
    if path.parent.is_dir() and sum(1 for _ in path.parent.iterdir()) >= MOST_FILES:
        logger.warning("%s has %d files, and %s is not kept: move old ones away", *_told(path))
        return
    try:
        write_file(path, data, mode=0o600)
    except StorageError as error:
        logger.warning("%s is not kept: %s", path.name, error)


def _told(path: Path) -> tuple[Path, int, str]:
    return path.parent, MOST_FILES, path.name
