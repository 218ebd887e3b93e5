"""Processor time of the files of a round, sealed and plain: model out to a site, update back.

    python benchmarks/sealed.py                        100 MB, 7 rounds
    python benchmarks/sealed.py --megabytes 10 --rounds 21

In one process, without network, plan code and arithmetic: the aggregator takes a model from its worker and
stores it, a site takes the stored file for its worker, copies the update that the worker wrote, and the
aggregator stores the update and reads it. In a sealed run the plain files lie in `/dev/shm`, the stored ones
on the disk; in a plain run all of them do. Plain and sealed rounds take turns.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from hanse.aggregator.run_worker.workspace import Workspace
from hanse.aggregator.sealed.blobs import RunKeys, SealedBlobs
from hanse.collaborator.run_folder import RunFolder
from hanse.core.values.model_ref import ModelRef
from hanse.sealing.file import open_sealed, seal_file
from hanse.sealing.keys import SealKey
from hanse.sealing.owner import create_owner
from hanse.sealing.run_files import RunLabels
from hanse.storage.base import BlobStore
from hanse.storage.blobs_file import FileBlobStore
from hanse.wire.tensors import open_file, write_file

LABELS = RunLabels("bench", "bench-1", "ab" * 32)


class Parties:
    """An aggregator and a site, with their folders.

    Args:
        disk: Folder on a disk.
        memory: Folder for plain files of sealed runs; None for plain runs.
    """

    def __init__(self, disk: Path, memory: Path | None) -> None:
        self.sealed = memory is not None
        place = memory or disk
        self.seal = SealKey.generate()
        self.store = FileBlobStore(disk / "aggregator")
        self.blobs: BlobStore = self.store
        if memory is not None:
            owner = create_owner("owner", disk / "owner")
            self.blobs = SealedBlobs(self.store, memory / "plain", RunKeys(LABELS, owner, self.seal))
        self.workspace = Workspace(place / "run", self.blobs, max_bytes=1 << 40, algorithm="blake3")
        self.workspace.share = True
        self.folder = RunFolder(place / "site", sealed=self.sealed)

    def round(self, model: dict[str, np.ndarray], number: int) -> float:
        """Processor seconds of the files of a round; the values of the model change with each."""
        model["w"] += np.float32(1)
        write_file(self.workspace.outbox / "model", model, durable=False)
        begin = time.process_time()
        digest = self.workspace.take("model")
        self.workspace.lend(digest)
        self._to_site(digest)
        waited = time.process_time()
        write_file(self.folder.written, model, durable=False)  # the worker's own
        begin += time.process_time() - waited
        update = self._to_aggregator(number)
        float(sum(np.sum(array[:1]) for array in open_file(self.blobs.path(update)).values()))
        seconds = time.process_time() - begin
        for old in (digest, update):
            self.blobs.delete(old)
        self.store.reclaim(keep=True)
        self.workspace.clear()
        self.folder.clear()
        return seconds

    def _to_site(self, digest: str) -> None:
        if not isinstance(self.blobs, SealedBlobs):
            return self.folder.show(ModelRef(digest), self.store.whole(digest))
        place = self.folder.model(ModelRef(digest))
        open_sealed(self.store.whole(digest), place, self.blobs.key(digest), LABELS.of("model", "model"))
        return None

    def _to_aggregator(self, number: int) -> str:
        file = self.folder.take_over(number, 1 << 40, "blake3")
        assert file is not None
        leaving = self.folder.leaving(number)
        if isinstance(self.blobs, SealedBlobs):
            label = LABELS.update(number, "a")
            seal_file(
                self.folder.outgoing(number), leaving, label, [self.seal.public], "blake3",
                randomness=secrets.token_bytes,
            )  # fmt: skip
        with leaving.open("rb", buffering=0) as sent:
            digest = self.store.copy(sent, leaving.stat().st_size, "blake3")
        if isinstance(self.blobs, SealedBlobs):
            self.blobs.expect_update(digest, number, "a")
        return digest


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    model = {"w": np.random.default_rng(1).standard_normal(asked.megabytes * 250_000).astype(np.float32)}
    memory = Path(tempfile.mkdtemp(prefix="hanse-bench-", dir="/dev/shm"))
    try:
        with tempfile.TemporaryDirectory(prefix="hanse-bench-") as name:
            disk = Path(name)
            kinds = {"plain": Parties(disk / "p", None), "sealed": Parties(disk / "s", memory)}
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for number in range(asked.rounds + 1):
                for kind, parties in kinds.items():
                    seconds = parties.round(model, number + 1)
                    if number:  # the first one makes the files that the others are written over
                        times[kind].append(seconds)
    finally:
        shutil.rmtree(memory)
    medians = {kind: statistics.median(each) for kind, each in times.items()}
    told = {kind: round(seconds, 3) for kind, seconds in medians.items()}
    print(
        json.dumps(
            {"megabytes": asked.megabytes, **told, "ratio": round(medians["sealed"] / medians["plain"], 2)}
        )
    )


if __name__ == "__main__":
    main()
