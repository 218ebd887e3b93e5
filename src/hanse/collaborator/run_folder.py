"""The folder of one run at a site, `runs/RUN/`: what its worker sees, and what came of its tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from hanse.config.layout import SUMS
from hanse.core.plan.evidence.section import SEALED_SUFFIX
from hanse.core.values.digests import Algorithm
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import SignedStatement, Statement
from hanse.errors import DisclosureError
from hanse.files.atomic import PART, writing
from hanse.files.copying import Readable, copy_bytes, copy_hashed, is_whole
from hanse.files.errors import file_errors
from hanse.files.handover import lend, open_foreign
from hanse.updates.residuals import Residuals
from hanse.wire.messages.sites import UpdateFile

_ENDED = "ended"
"""An empty file in the folder of a run that is over for this site; its time is that of the end."""

_START = "start.json"
_DELETED = (".safetensors", SEALED_SUFFIX, PART)
"""Ends of the names of models and updates."""
_Made = TypeVar("_Made")

_STATEMENT: TypeAdapter[Statement] = TypeAdapter(Statement)


class RunFolder:
    """Files of one run.

    Args:
        directory: The folder; made where it is missing.
        sealed: Whether the run is sealed, so that the folder lies in memory, and updates leave sealed.

    Attributes:
        sealed: Whether the run is sealed.
        models: What the worker may read: the models of its tasks.
        work: What it may write to; its home. What the plan's code leaves here stays.
        log: What it prints.
        residuals: What compression left out of its updates.
        sums: Vectors for masked sums; made when there is one.
    """

    def __init__(self, directory: Path, *, sealed: bool = False) -> None:
        self.sealed = sealed
        self._outcomes = directory / "outcomes"
        self.models = directory / "in"
        self.work = directory / "work"
        self.log = directory / "worker.log"
        self.residuals = Residuals(directory / "memory")
        self.sums = directory / SUMS
        folders = (self._outcomes, self.models, self.work)
        if all(folder.is_dir() for folder in folders):
            return
        # A copy or a backup may have lost the empty ones.
        with file_errors(f"make {directory}"):
            for folder in (directory, *folders):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def mark_ended(self) -> None:
        """Note that the run is over for this site, and since when."""
        path = self.work.parent / _ENDED
        with file_errors(f"write {path}"):
            path.touch()
            os.utime(path)

    def mark_under_way(self) -> None:
        """Note that the run is not over, or not any more."""
        path = self.work.parent / _ENDED
        with file_errors(f"delete {path}"):
            path.unlink(missing_ok=True)

    @property
    def start(self) -> Path:
        """File that says which local state the last task started from, where results are summed masked."""
        return self.work.parent / _START

    def model(self, model: ModelRef) -> Path:
        """Where the worker finds a model that was shown to it."""
        return self.models / f"{model.digest}.safetensors"

    def show(self, model: ModelRef, blob: Path) -> None:
        """Let the worker read a model, without a copy where the file system can."""
        place = self.model(model)
        with file_errors(f"show {blob} as {place}"):
            lend(blob, place)

    def drop_damaged(self) -> None:
        """Delete models of which a power failure left less than all; the disk is not waited for."""
        with file_errors(f"look through {self.models}"):
            for path in self.models.glob("*.safetensors"):
                if not is_whole(path, path.stem):
                    path.unlink()

    def clear(self, models: Collection[ModelRef] = (), exchange: int | None = None) -> None:
        """Delete models and updates: what earlier tasks left, also those that came to no end.

        To be called while no task of the run is performed.

        Args:
            models: Those to leave.
            exchange: Whose update to leave; None where there will be no more. The vector of a masked sum
                stays all the same: a run that failed may be resumed, and masks the same vector then.
        """
        kept = {self.model(model).name for model in models}
        if exchange is not None:
            kept |= {self.outgoing(exchange).name, self.leaving(exchange).name, self._spare.name}
        with file_errors(f"tidy up {self.work.parent}"):
            for folder in (self.models, self._outcomes):
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(_DELETED) and entry.name not in kept:
                            Path(entry).unlink()
            if exchange is None:
                for path in (
                    self.written,
                    spare_of(self.written),
                ):  # a task that was broken off left the first
                    path.unlink(missing_ok=True)

    @property
    def _spare(self) -> Path:
        """The copy of an update that was delivered; the next is written over it."""
        return self._outcomes / "spare.safetensors"

    @property
    def written(self) -> Path:
        """Where the worker writes its update; a child of its home, so that it cannot turn it elsewhere."""
        return self.work / "update.safetensors"

    def outgoing(self, exchange: int) -> Path:
        """Where an update lies that was taken over, until it is delivered."""
        return self._outcomes / f"{exchange}.safetensors"

    def leaving(self, exchange: int) -> Path:
        """The file that leaves for an update in `outgoing`: in a sealed run, the update sealed."""
        path = self.outgoing(exchange)
        return path.with_suffix(SEALED_SUFFIX) if self.sealed else path

    def take_over(self, exchange: int, max_bytes: int, algorithm: Algorithm) -> UpdateFile | None:
        """Copy what the worker wrote to where it cannot change it: it may keep open what is moved away.

        Args:
            exchange: Whose update it is.
            max_bytes: Most bytes that are taken.
            algorithm: What makes its digest.

        Returns:
            The copy in `outgoing`; None where the worker wrote nothing.

        Raises:
            DisclosureError: It is too large, or not a file.
            StorageError: It cannot be copied.
        """
        made = self._copied(exchange, max_bytes, partial(copy_hashed, algorithm=algorithm))
        return None if made is None else UpdateFile(digest=made[0], size=made[1])

    def take_over_to_mask(self, exchange: int, max_bytes: int) -> int | None:
        """As `take_over`, of what leaves masked only; the size of the copy, which needs no digest."""
        return self._copied(exchange, max_bytes, copy_bytes)

    def _copied(
        self, exchange: int, max_bytes: int, copy: Callable[[Readable, BinaryIO, int], _Made]
    ) -> _Made | None:
        with file_errors(f"copy {self.written}"):
            try:
                source, size = open_foreign(
                    self.written, max_bytes, lambda problem: DisclosureError(f"the update {problem}")
                )
            except FileNotFoundError:
                return None
            with source, writing(self.outgoing(exchange), over=self._spare) as target:
                return copy(source, target, size)

    def holds(self, exchange: int, update: UpdateFile | None) -> bool:
        """Whether an update that was taken over is still whole; none always is."""
        path = self.leaving(exchange)
        if update is None:
            return True
        if not path.is_file():
            return False
        with file_errors(f"read {path}"):
            return is_whole(path, update.digest)

    def drop_update(self, exchange: int) -> None:
        """Put an update away, what the worker wrote and the copy, for the next to be written over them."""
        with file_errors(f"put the update of exchange {exchange} away"):
            for path, spare in (
                (self.written, spare_of(self.written)),
                (self.outgoing(exchange), self._spare),
            ):
                with suppress(FileNotFoundError):
                    path.replace(spare)
            if self.sealed:
                self.leaving(exchange).unlink(missing_ok=True)

    def disclosed_before(self, exchange: int, content: str) -> bool:
        """Check if the same content was noted for an exchange of a sealed run, whatever its file was named.

        Args:
            exchange: The exchange.
            content: Digest of what its result discloses, with the digest of the plain update.
        """
        path = self._contents(exchange)
        with file_errors(f"read {path}"):
            return path.exists() and content in path.read_text(encoding="ascii").split()

    def note_disclosed(self, exchange: int, content: str) -> None:
        """Note what the result of an exchange of a sealed run discloses; see `disclosed_before`."""
        path = self._contents(exchange)
        with file_errors(f"write {path}"), path.open("a", encoding="ascii") as file:
            file.write(f"{content}\n")

    def _contents(self, exchange: int) -> Path:
        return self._outcomes / f"{exchange}.contents"

    def has_residuals_of(self, exchange: int) -> bool:
        """Whether there may be something to take up: an outcome, or what compression left out."""
        return self._outcome(exchange).is_file() or not self.residuals.empty

    def outcome(self, exchange: int) -> Statement | None:
        """What was said of an exchange before, if anything was; also what an agent of 0.1 has said."""
        path = self._outcome(exchange)
        if not path.is_file():
            return None
        try:
            with file_errors(f"read {path}"):
                return _STATEMENT.validate_json(path.read_bytes())
        except ValidationError:
            return None  # damaged: the task is performed again, and gives the same

    def kept_outcomes(self) -> list[int]:
        """Exchanges of which something is kept that was said before, in order."""
        with file_errors(f"look through {self._outcomes}"):
            return sorted(int(p.stem) for p in self._outcomes.glob("*.json") if p.stem.isdecimal())

    def keep_outcome(self, exchange: int, statement: SignedStatement) -> None:
        """Write down what is about to be said of an exchange.

        The disk is not waited for: where a power failure loses it, the task is performed again.
        """
        place = self._outcome(exchange)
        with file_errors(f"write {place}"), writing(place) as file:
            file.write(statement.model_dump_json().encode())

    def forget_outcome(self, exchange: int) -> None:
        """Be ready to perform an exchange anew."""
        with file_errors(f"forget exchange {exchange} in {self._outcomes}"):
            self._outcome(exchange).unlink(missing_ok=True)

    def _outcome(self, exchange: int) -> Path:
        return self._outcomes / f"{exchange}.json"


def ended_at(folder: Path) -> float | None:
    """When the run of a folder ended for this site, seconds since 1970; None where it has not."""
    try:
        return (folder / _ENDED).stat().st_mtime
    except OSError:
        return None


def spare_of(written: Path) -> Path:
    """Where a worker finds the file of an earlier update, to write the next one over it."""
    return written.with_suffix(".spare")
