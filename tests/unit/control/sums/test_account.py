"""Masked sums in an auditor's report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.control.sums.masked_run import RUN, SITES, Events, MaskedRun, replaced

from hanse.control.report import SUMS, Account, AuditReport
from hanse.control.sums.account import SumReport
from hanse.control.sums.checks import SumChecks
from hanse.control.sums.files import SumFiles
from hanse.core.values.canonical import sha256


def report_of(run: MaskedRun, events: Events, blobs: Path | None = None) -> AuditReport:
    report = AuditReport("north", "r1", "0" * 64, authority_given=True)
    report.sites |= {site: Account() for site in SITES}
    sums = SumReport(report, SumChecks(RUN), SumFiles(blobs))
    for number, event in enumerate(events, start=1):
        sums.examine(event, run.run, f"record {number}", 1_000 * number)
    sums.conclude()
    return report


@pytest.fixture
def run() -> MaskedRun:
    return MaskedRun()


def test_a_sum_is_reported_with_its_members(run: MaskedRun) -> None:
    (found,) = report_of(run, run.whole()).sums

    assert (found.round_number, found.task, found.cell, found.members) == (2, "train", "all", SITES)
    assert (found.attempt, found.reasons, found.num_examples, found.added) == (1, (), 800, False)


def test_each_site_has_the_sums_that_it_was_in(run: MaskedRun) -> None:
    account = report_of(run, run.whole()).sites["b"]

    assert [(found.cell, found.attempt, found.rho) for found in account.sums] == [("all", 1, run.rho())]
    assert account.attempts == 1


def test_further_attempts_are_counted_with_why_the_one_before_did_not_end(run: MaskedRun) -> None:
    report = report_of(run, run.again())

    assert [(found.attempt, found.reasons) for found in report.sums] == [(2, ("c lost the key",))]
    assert report.sites["b"].attempts == 2


def test_a_problem_names_its_record(run: MaskedRun) -> None:
    report = report_of(run, replaced(run.whole(), run.sum(rho=sha256(b"another"))))

    (problem,) = report.checks[SUMS].problems
    assert problem.startswith("record 11: the sum of cell all in exchange 4 states roster")


def test_a_run_without_masked_tasks_has_no_check_of_sums(run: MaskedRun) -> None:
    report = report_of(run, [])

    assert SUMS not in report.checks
    assert not any("masked" in text for text in report.not_proved)


def test_the_report_says_in_words_what_a_sum_does_not_prove(run: MaskedRun) -> None:
    report = report_of(run, run.whole())

    told = "\n".join(report.not_proved)
    assert "that a signing key belongs to a hospital" in told
    assert "that 1 of the 1 masked sums are of the vectors" in told
    assert "have the layout that follows from the plan" in told
