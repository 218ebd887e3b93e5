"""Checks of runs: those that wait for sites, and the files that they need at the aggregator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from hanse.aggregator.blobs.lost import lost_blobs
from hanse.aggregator.blobs.retention import KeptModels
from hanse.config.layout import JOURNAL
from hanse.core.journal.membership import STREAM
from hanse.core.run.run import Run
from hanse.core.values.wording import counted
from hanse.doctor.checks import Finding, Grade, Way
from hanse.files.errors import file_errors
from hanse.pki.credentials import Credentials
from hanse.pki.tls import client_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal
from hanse.storage.journaled_run import JournaledRun
from hanse.transport.api.run_routes import RUNS
from hanse.wire.messages.basics import Empty
from hanse.wire.wording import format_start

_MOST_FOUND = 10


async def check_waiting_runs(way: Way, credentials: Credentials) -> list[Finding]:
    """Name the runs that have not begun, with what they wait for; only an operator may ask."""
    async with way.open(client_context(credentials)) as connection:
        runs = (await connection.call(RUNS, Empty())).runs
    found = [
        Finding(
            "runs",
            Grade.WARN if run.start.accepted < run.start.needed else Grade.OK,
            f"{run.run_id} waits for {format_start(run.start)}",
        )
        for run in runs
        if run.start is not None
    ]
    return found or [Finding("runs", Grade.OK, f"{counted(len(runs), 'run')}; none waits for acceptances")]


def check_blobs(directory: Path, kept: KeptModels, now: datetime) -> Iterator[Finding]:
    """Look for each file that a run needs, in the folder of a federation.

    Args:
        directory: The folder.
        kept: How long models of runs that have ended are kept.
        now: The time, with its zone.
    """
    with file_errors(f"read {directory / JOURNAL}"):
        (directory / JOURNAL).stat()  # opened below, a journal that is missing would be made
    blobs, found = FileBlobStore(directory, look_only=True), 0

    def lost(run: Run) -> list[str]:
        return lost_blobs(kept.references(run, int(now.timestamp() * 1000)), blobs)

    with closing(SqlJournal(directory / JOURNAL)) as journal:
        for run_id in journal.streams():
            if run_id == STREAM or not lost(JournaledRun(journal, run_id).run):
                continue
            run = JournaledRun(journal, run_id).run  # a service may have let go of it in between
            for digest in lost(run):
                found += 1
                if found <= _MOST_FOUND:
                    yield Finding(
                        "blobs",
                        Grade.FAIL,
                        f"blobs/{digest[:2]}/{digest} is missing, which run {run_id} ({run.phase}) needs",
                        "Put a copy of the file back; a run that failed for it can then be resumed.",
                    )
    if not found:
        yield Finding("blobs", Grade.OK, "each file that a run needs is there")
    elif found > _MOST_FOUND:
        yield Finding("blobs", Grade.FAIL, f"and {found - _MOST_FOUND} more files are missing")
