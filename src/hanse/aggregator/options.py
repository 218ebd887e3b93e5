"""What an aggregator's settings come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hanse.aggregator.blobs.retention import KeptModels
from hanse.aggregator.run_worker.supervisor import MakeConfinement
from hanse.aggregator.sealed.runs import Sealing
from hanse.control.appraisal.options import EvidenceOptions
from hanse.sandbox.process import StartsWorkers, WorkerProcess


@dataclass(frozen=True, slots=True)
class Options:
    """What an aggregator's settings come to.

    Attributes:
        directory: The aggregator's own folder.
        url: Where sites reach it; goes into invitations.
        max_blob: Largest blob that is taken, bytes.
        disk_reserve: Bytes of the disk that uploads leave free.
        worker: Makes the confinement of a run's worker.
        kept_models: How long models of runs that have ended are kept.
        max_runs: Runs that may be under way at one time.
        worker_process: Starts the runs' workers.
        sealing: What sealed runs take; None where the settings name no owner of sealed models.
        evidence: What the aggregator shows of itself, and how it appraises sites.
    """

    directory: Path
    url: str
    max_blob: int
    disk_reserve: int
    worker: MakeConfinement
    kept_models: KeptModels = KeptModels()  # noqa: RUF009 - frozen
    max_runs: int = 32
    worker_process: StartsWorkers = WorkerProcess
    sealing: Sealing | None = None
    evidence: EvidenceOptions = EvidenceOptions()  # noqa: RUF009 - frozen

    @property
    def runs(self) -> Path:
        """Where each run has a folder."""
        return self.directory / "runs"
