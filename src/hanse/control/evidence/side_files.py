"""Files of evidence and of collateral that was used, beside a journal and named by their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hanse.core.values.canonical import sha256
from hanse.files.errors import file_errors

FOLDER = "attestation"
EVIDENCE_FOLDER = "evidence"
COLLATERAL_FOLDER = "collateral-used"
"""Folders of evidence and of collateral, below `FOLDER` in the folder of an aggregator or of a site."""
_LARGEST = 4 << 20


@dataclass(slots=True)
class SideFiles:
    """Files of evidence in folders of aggregators and sites, or in copies of their folders `attestation`.

    Attributes:
        folders: The folders.
        altered: Files whose content is not what their name says.
    """

    folders: Sequence[Path]
    altered: list[str] = field(default_factory=list)

    def evidence(self, digest: str) -> bytes | None:
        """Evidence by its digest; None where it is not at hand.

        Raises:
            StorageError: A file cannot be read.
        """
        return self._read(EVIDENCE_FOLDER, f"{digest}.json", digest)

    def collateral(self, digests: Mapping[str, str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """Documents by name, and the names of those that are not at hand.

        Args:
            digests: SHA-256 of each, by its name.

        Raises:
            StorageError: A file cannot be read.
        """
        found = {name: self._read(COLLATERAL_FOLDER, digest, digest) for name, digest in digests.items()}
        missing = tuple(sorted(name for name, data in found.items() if data is None))
        return {name: data for name, data in found.items() if data is not None}, missing

    def _read(self, folder: str, name: str, digest: str) -> bytes | None:
        for place in self.folders:
            for path in (place / FOLDER / folder / name, place / folder / name):
                if not path.is_file():
                    continue
                with file_errors(f"read {path}"), path.open("rb") as file:
                    data = file.read(_LARGEST + 1)
                if sha256(data) == digest:
                    return data
                if str(path) not in self.altered:
                    self.altered.append(str(path))
        return None
