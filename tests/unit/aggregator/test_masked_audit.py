"""The journals of whole runs with masked sums before an auditor, who has the vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fake_sites import until, until_phase
from tests.federations import FederationFixture, now
from tests.masking_sites import masking_sites
from tests.unit.aggregator.test_masked_runs import PLAN, trains

from hanse.aggregator.export import JournalExporter
from hanse.cli.demo.kept_blobs import keep_blobs
from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.run.sums.events import SumOpened

Run = Callable[[Any], Any]


def audited(fixture: FederationFixture, run_id: str, blobs: Path) -> AuditReport:
    exports = JournalExporter(
        fixture.journal, fixture.identity, fixture.directory / "export", lambda: int(now().timestamp() * 1000)
    )
    (fixture.directory / "export").mkdir()
    return verify(exports.write(run_id), fixture.authority.certificate, blobs=blobs)


def problems(report: AuditReport) -> dict[str, list[str]]:
    """What is wrong with a journal."""
    return {check.name: check.problems for check in report.failed}


async def ended(fixture: FederationFixture, seen: Path, meanwhile: Callable[[str], Any]) -> AuditReport:
    """Run the plan while something happens, and audit its journal with all blobs that there were."""
    keeping = asyncio.create_task(keep_blobs(fixture.directory, seen))
    run_id = await fixture.submit(**PLAN)
    await meanwhile(run_id)
    assert (await until_phase(fixture, run_id, *TERMINAL)).phase is Phase.FINISHED
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    return audited(fixture, run_id, seen)


async def nothing(run_id: str) -> None:
    pass


def test_sums_pass_and_are_added_again(working: FederationFixture, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with working.serving(), masking_sites(working, trains):
            report = await ended(working, tmp_path / "seen", nothing)
        assert problems(report) == {}
        assert [(found.task, found.num_examples) for found in report.sums] == [
            ("train", 60),
            ("evaluate", 60),
        ] * 2
        assert any(found.added for found in report.sums)
        assert not any("have the layout" in text for text in report.not_proved)

    run(main())


def test_sums_with_further_attempts_pass(working: FederationFixture, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with working.serving(), masking_sites(working, trains) as sites:
            sites["b"].forgets = {1, 2}
            report = await ended(working, tmp_path / "seen", nothing)
        assert problems(report) == {}
        assert [found.attempt > 1 for found in report.sums] == [True, True, False, False]

    run(main())


def test_sums_of_an_aggregator_that_was_restarted_pass(
    working: FederationFixture, run: Run, tmp_path: Path
) -> None:
    async def restarted(kind: type[UpdateAccepted | SumOpened], count: int, run_id: str) -> None:
        await until(lambda: sum(isinstance(e, kind) for e in working.events(run_id)) >= count)
        await working.restart()

    async def restarts(run_id: str) -> None:
        for kind, count in ((UpdateAccepted, 1), (SumOpened, 1), (UpdateAccepted, 5)):
            await restarted(kind, count, run_id)

    async def main() -> None:
        async with working.serving(), masking_sites(working, trains):
            report = await ended(working, tmp_path / "seen", restarts)
        assert problems(report) == {}
        assert len(report.sums) == 4

    run(main())
