"""A learner's local state on disk: a version for each task that was performed and may still count."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from hanse.core.values.parameters import Parameters
from hanse.errors import StorageError
from hanse.files.atomic import PART, writing
from hanse.files.errors import file_errors
from hanse.wire.tensors import digest_of, open_file, write_file

KEPT_ROUNDS = 2
"""Rounds whose versions are kept; the tasks of older ones are not asked for again. The version that a task
started from is kept whatever its round: as long as the task does not count, the next starts from it too."""

_VERSION = re.compile(r"state-([0-9]+)-([0-9]+)\.json")


class StateStore:
    """Versions of one learner's local state.

    A version is a small JSON file, `state-SEQUENCE-ROUND.json`, that names a tensor file for each group
    of arrays. Tensor files are named by their digest, so that a group that a task has not changed is
    kept once. The JSON file comes last and by rename: after a crash a version is whole or absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def roll_back(self, counted: int) -> int | None:
        """Delete what exchanges left that do not count: all versions after that of the last one that does.

        Args:
            counted: Number of the last exchange that counts; 0 for none.

        Returns:
            The version that this exchange left, or that it found where it left none of its own; None for
            the learner as it is made.

        Raises:
            StorageError: The folder cannot be written.
        """
        left = []
        with file_errors(f"delete the state of what did not count in {self._folder}"):
            for (version, _), path in self._versions().items():
                if version > counted:
                    path.unlink()  # its tensors go with the next version that is saved
                else:
                    left.append(version)
        return max(left, default=None)

    def load(self, sequence: int) -> dict[str, Parameters]:
        """Read a version back, as read-only memory maps.

        Raises:
            StorageError: A file of it is missing or damaged.
            UpdateError: A tensor file is damaged.
        """
        path = next(path for (version, _), path in self._versions().items() if version == sequence)
        return {name: open_file(self._tensors(digest)) for name, digest in _groups(path).items()}

    def save(
        self,
        sequence: int,
        round_number: int,
        state: Mapping[str, Parameters],
        *,
        started_from: int | None = None,
    ) -> None:
        """Write a version durably, in place of one with the same numbers, and delete the oldest.

        Args:
            sequence: Number of the exchange.
            round_number: Its round.
            state: Groups of arrays by name.
            started_from: The version that the task started from, which is kept; None for none.

        Raises:
            StorageError: The disk is full or cannot be written; the versions before are kept.
            UpdateError: A name or a dtype cannot be written.
        """
        with file_errors(f"keep the learner's state in {self._folder}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            groups = {name: self._write(arrays) for name, arrays in state.items()}
            with writing(self._folder / f"state-{sequence}-{round_number}.json", durable=True) as file:
                file.write(json.dumps(groups).encode())
            self._prune(started_from)

    def _versions(self) -> dict[tuple[int, int], Path]:
        """The version files by sequence and round number."""
        found = ((_VERSION.fullmatch(path.name), path) for path in self._folder.glob("state-*.json"))
        return {(int(match[1]), int(match[2])): path for match, path in found if match}

    def _tensors(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"

    def _write(self, arrays: Parameters) -> str:
        digest = digest_of(arrays, "blake3")
        if not self._tensors(digest).exists():
            write_file(self._tensors(digest), arrays, durable=True)
        return digest

    def _prune(self, started_from: int | None) -> None:
        versions = self._versions()
        kept = sorted({round_number for _, round_number in versions})[-KEPT_ROUNDS:]
        used: set[Path] = set()
        for (version, round_number), path in versions.items():
            if round_number in kept or version == started_from:
                used.update(self._tensors(digest) for digest in _groups(path).values())
            else:
                path.unlink()
        for path in self._folder.glob("*.safetensors"):
            if path not in used:
                path.unlink()
        for path in self._folder.glob(f"*{PART}"):
            path.unlink()  # of a process that was killed


def _groups(path: Path) -> dict[str, str]:
    """Digest of each group's tensor file."""
    with file_errors(f"read {path}"):
        text = path.read_text(encoding="utf-8")
    try:
        groups: dict[str, str] = json.loads(text)
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged: {error}", mend="Remove its folder: the learner then starts afresh."
        ) from error
    return groups
