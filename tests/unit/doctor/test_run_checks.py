"""Checks of the files that runs need."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.unit.core.run.runs import Driver, submit

from hanse.aggregator.blobs.retention import KeptModels, plan_blobs
from hanse.config.layout import JOURNAL
from hanse.core.run.lifecycle import Stop
from hanse.doctor.checks import Grade
from hanse.doctor.examine import ExaminedPaths
from hanse.doctor.run_checks import check_blobs
from hanse.storage.journal_sql import SqlJournal
from hanse.storage.journaled_run import JournaledRun

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def a_run(directory: Path) -> None:
    """A federation's journal with a run, of whose blobs none is there."""
    journal = SqlJournal(directory / JOURNAL)
    run = JournaledRun(journal, "demo-1")
    run.execute(submit(), 0)
    run.execute(Stop("operator"), 1_000)
    journal.close()


def test_each_file_that_a_run_needs_and_lacks_is_named(tmp_path: Path) -> None:
    a_run(tmp_path)

    found = list(check_blobs(tmp_path, KeptModels(), NOW))

    assert {finding.grade for finding in found} == {Grade.FAIL}
    assert len(found) == len(plan_blobs(Driver().state))
    assert "which run demo-1 (stopped) needs" in found[0].detail
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []  # looked at, not made


def test_a_journal_without_runs_needs_no_files(tmp_path: Path) -> None:
    SqlJournal(tmp_path / JOURNAL).close()

    assert [finding.grade for finding in check_blobs(tmp_path, KeptModels(), NOW)] == [Grade.OK]


def test_an_operators_folder_is_examined_as_one_whatever_option_names_it(tmp_path: Path) -> None:
    (tmp_path / "operator.yaml").write_text("")

    assert ExaminedPaths.named(None, tmp_path, None) == ExaminedPaths(operators=(tmp_path,))
    assert ExaminedPaths.named(tmp_path, None, None) == ExaminedPaths(operators=(tmp_path,))
    assert ExaminedPaths.named(None, tmp_path, tmp_path) == ExaminedPaths(operators=(tmp_path,))


def test_the_folder_of_a_federation_stays_one(tmp_path: Path) -> None:
    for name in ("operator.yaml", "aggregator.yaml"):
        (tmp_path / name).write_text("")

    assert ExaminedPaths.named(None, tmp_path, None) == ExaminedPaths(federations=(tmp_path,))
