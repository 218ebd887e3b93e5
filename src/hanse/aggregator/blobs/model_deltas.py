"""Models on their way to sites in fewer bytes: what is new in each, for those that have the one before."""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from hanse.compression.delta import model_delta
from hanse.core.plan.transforms import Zstd
from hanse.core.run.run import Run
from hanse.core.values.digests import Algorithm
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import mismatch, specs
from hanse.errors import HanseError
from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore
from hanse.wire.messages.sites import ModelDelta
from hanse.wire.spool import Spool
from hanse.wire.tensors import open_file, tensors_size, write_hashed

logger = logging.getLogger(__name__)

_KEPT = 2
"""Of one run: what sites are asked to start from, and what the open round has made of it."""


@dataclass(frozen=True, slots=True)
class OfferedDelta:
    """What makes a model of the one before.

    Attributes:
        model: The model that it makes.
        delta: What sites are told.
        path: The file.
    """

    model: ModelRef
    delta: ModelDelta
    path: Path


class ModelDeltas:
    """Makes and keeps what is new in the models of runs whose plans ask for it.

    Nothing depends on it: a site fetches the whole model where it lacks the one before,
    where this was lost with a restart, or where it is not offered because it saves nothing.
    Methods may be called from any thread.
    """

    def __init__(self, directory: Path, blobs: BlobStore) -> None:
        """Begin with nothing; what an earlier service left is deleted.

        Args:
            directory: Where the files lie; made when there is one.
            blobs: Where the models are.
        """
        self._directory = directory
        self._blobs = blobs
        self._offers: dict[str, dict[ModelRef, OfferedDelta]] = {}
        self._making = threading.Lock()
        shutil.rmtree(directory, ignore_errors=True)

    def offer(self, run_id: str, model: ModelRef) -> ModelDelta | None:
        """What makes a model of a run of the one before; None where there is nothing."""
        found = self._offers.get(run_id, {}).get(model)
        return None if found is None else found.delta

    def find(self, digest: str) -> OfferedDelta | None:
        """What is offered under a digest."""
        offers = (offered for of_run in list(self._offers.values()) for offered in list(of_run.values()))
        return next((offered for offered in offers if offered.delta.digest == digest), None)

    def prepare(self, run: Run, model: ModelRef) -> None:
        """Make what is new in a model against the run's last committed one; reads both."""
        wanted = next((step for step in run.plan.compression.download if isinstance(step, Zstd)), None)
        base = run.model
        with self._making:
            offers = self._offers.setdefault(run.run_id, {})
            if wanted is None or base is None or base == model or model in offers:
                return
            try:
                offered = self._make(model, base, wanted.level, run.plan.digests)
            except HanseError as error:  # sites fetch the whole model
                logger.warning("run %s: what is new in its model is not offered: %s", run.run_id, error)
                return
            if offered is None:
                return
            offers[model] = offered
            while len(offers) > _KEPT:
                offers.pop(next(iter(offers))).path.unlink(missing_ok=True)

    def forget(self, run_id: str) -> None:
        """A run is over."""
        with self._making:
            for offered in self._offers.pop(run_id, {}).values():
                offered.path.unlink(missing_ok=True)

    def _make(self, model: ModelRef, base: ModelRef, level: int, algorithm: Algorithm) -> OfferedDelta | None:
        path = self._blobs.path(model.digest)
        now, before = open_file(path), open_file(self._blobs.path(base.digest))
        # A file that others wrote may hold more than tensors, which nobody could make again.
        if mismatch(specs(now), specs(before)) or self._blobs.size(model.digest) != tensors_size(specs(now)):
            return None
        with file_errors(f"make {self._directory}"):
            self._directory.mkdir(mode=0o700, exist_ok=True)
        part = self._directory / f"{model.digest}.safetensors"
        with Spool(self._directory) as spool:
            for name, array in model_delta(now, before, level):
                spool.add(name, array)
            digest, size = write_hashed(part, spool.tensors(), algorithm)
        if size >= self._blobs.size(model.digest):
            part.unlink(missing_ok=True)
            return None
        return OfferedDelta(model, ModelDelta(base=base, digest=digest, size=size), part)
