"""A simulation from Python, run with its progress shown and its results written."""

from __future__ import annotations

import shutil
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

from hanse.assembly.simulation import Ran, Simulation, finished, run_in, summarise
from hanse.assembly.simulation_results import ResultFolder
from hanse.core.run.events import Event
from hanse.core.run.round_events import TaskFailed
from hanse.core.run.run import Run
from hanse.errors import HanseError, rebuild
from hanse.files.paths import given_path
from hanse.interactive.plans import Asked, prepared
from hanse.interactive.progress import Progress, shown_progress
from hanse.interactive.session import session_kept
from hanse.interactive.simulated_run import SimulatedRun, remarks
from hanse.plots.record import RunRecord


def run_simulation(asked: Asked, output: str | PathLike[str] | None, *, progress: bool) -> SimulatedRun:
    """Run what was asked for; see `hanse.simulate`.

    Args:
        asked: What to run.
        output: Folder for the results; None for none.
        progress: Whether to show how far it is.
    """
    folder = Path(tempfile.mkdtemp(prefix="hanse-"))
    try:
        code, kept = folder / "code", folder / "kept"
        code.mkdir()
        kept.mkdir()
        simulation = prepared(asked, code)
        results = None if output is None else ResultFolder(given_path(output, "output"))
        record = RunRecord()
        with shown_progress(in_turn=True, wanted=progress) as shown:
            recorded = _Recorded(simulation, record, results, shown)
            ran = recorded.run(kept)
        remarks(finished(simulation, ran.outcome), ran, recorded.failed)
        return SimulatedRun(simulation, ran, record, folder)
    except BaseException:  # of a run that ended early nothing is kept but its output
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Recorded:
    """Runs a simulation, and writes its results after each round.

    Args:
        simulation: What to run.
        record: Takes in the events.
        results: Where results are written; None for nowhere.
        shown: Shows how far it is.
    """

    def __init__(
        self, simulation: Simulation, record: RunRecord, results: ResultFolder | None, shown: Progress
    ) -> None:
        self._simulation = simulation
        self._record = record
        self._results = results
        self._shown = shown
        self._latest: Run | None = None
        self.failed: list[TaskFailed] = []

    def run(self, folder: Path) -> Ran:
        """Run to the end.

        Args:
            folder: An empty folder, for what the sites keep.

        Raises:
            HanseError: Why the run failed; a note has the end of the failed task's log.
        """
        try:
            with session_kept(self._simulation.loaded.manifest.plan.code):
                ran = run_in(folder, self._simulation, self._listen, committed=self._write)
        except HanseError as error:
            self._write_early()
            raise self._explained(error) from error.__cause__
        except KeyboardInterrupt:
            self._write_early(phase="stopped")
            raise
        self._record.held = ran.outcome.held
        self._write(ran.outcome.run)
        if self._results is not None:
            self._results.write_results(ran.outcome.loaded.manifest.plan, ran.outcome.results)
        return ran

    def _explained(self, error: HanseError) -> HanseError:
        """The error by which a run failed, with the failure of a task that it does not name."""
        if not self.failed:
            return error
        failed = self.failed[-1]
        told = rebuild(
            error.code, f"{error.message.rstrip('.')}; at {failed.site}: {failed.reason}", error.mend
        )
        # What names the failures of sites does so without the full stop of each.
        found = error if failed.reason.removesuffix(".") in error.message else told
        if failed.log_tail:
            found.add_note(failed.log_tail.rstrip())
        return found

    def _listen(self, now: Run, event: Event) -> None:
        self._latest = now
        self._record.take(event)
        if isinstance(event, TaskFailed):
            self.failed.append(event)
        self._shown.take(event)

    def _write_early(self, **changes: Any) -> None:
        if self._latest is not None and self._latest.committed > 0:
            self._write(self._latest, **changes)

    def _write(self, now: Run, tensors: Any = None, **changes: Any) -> None:
        if self._results is not None:
            summary = summarise(self._simulation, now, self._record.history)
            self._results.write(now, tensors, summary | changes)
