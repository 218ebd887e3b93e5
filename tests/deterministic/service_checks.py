"""What has to hold in every schedule of a `ServiceWorld`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.deterministic.core_checks import ENDS
from tests.deterministic.service_fixture import service_fixture
from tests.deterministic.undisturbed import undisturbed
from tests.replays import replay
from tests.sum_invariants import check_events, check_records

from hanse.aggregator.blobs.retention import references
from hanse.aggregator.export import JournalExporter
from hanse.control.audit import verify
from hanse.core.journal.chain import check_chain
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import read_site_record
from hanse.core.run.events import Event, read_event
from hanse.core.run.round_events import ExchangeClosed, RoundCommitted, UpdateAccepted
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed
from hanse.storage.blobs_file import FileBlobStore
from hanse.wire.messages.sites import Work
from hanse.wire.tensors import decode

if TYPE_CHECKING:
    from tests.deterministic.service_world import AgentLives, ServiceWorld

RUN = "demo-1"
ERROR = 1e-5
"""Beyond the stated error of a masked mean of these models, after two rounds of float32."""


class ServiceChecks:
    """Holds a schedule against what is promised, on the way and at the end."""

    def __init__(self, world: ServiceWorld) -> None:
        self._world = world
        self._taken: set[tuple[str, int]] = set()
        """Results whose site may have been told that they are taken."""

    def taken(self, body: dict[str, Any]) -> None:
        """The aggregator says that it has taken a result."""
        if body["outcome"] == "done":
            self._taken.add((body["site"], body["exchange"]))

    def asked(self, site: str, work: Work) -> None:
        """The aggregator says what it wants of a site: nothing that it has taken, but of a cell's sum."""
        if self._world.shape.secure:
            return  # until its cell is complete, a further attempt may be asked
        for run in work.runs:
            for asked in run.assignments:
                if (site, asked.exchange) in self._taken:
                    self._world.loop.faults.append(f"{site} is asked again for exchange {asked.exchange}")

    def ended_early(self, run: Run) -> None:
        """A run is not finished: it says truly why."""
        assert run.reason, "the run ended without a reason"

    def all_done(self) -> bool:
        """Whether the run has finished, and every site has put away what came for it."""
        run = self._world.aggregator.run
        if run is None or run.phase is not Phase.FINISHED:
            return False
        sites = self._world.sites.values()
        return all(
            site.process.alive and not _left_of_tasks(site.folders.now / "runs" / RUN) for site in sites
        )

    def at_the_end(self) -> None:
        """The run has finished."""
        world, run = self._world, self._world.aggregator.run
        assert run is not None
        assert not world.loop.faults, world.loop.faults
        records = world.aggregator.records()
        check_chain(records)
        events = [read_event(record.kind, record.body) for record in records]
        times = [record.time_ms for record in records]
        assert replay(zip(events, times, strict=True)) == run
        for event in events:
            assert not isinstance(event, RunFailed) or event.error in ENDS, event
        counted = Counter((e.site, e.exchange) for e in events if isinstance(e, UpdateAccepted))
        if world.shape.secure:
            check_events(events)
        else:
            assert max(counted.values()) == 1, "an update was counted twice"
        lost = self._taken - set(counted)
        assert not lost, f"taken, and lost: {lost}"
        self._check_models(run, events)
        assert any(isinstance(e, ExchangeClosed) for e in events)
        self._check_files(run)
        self._check_audit()
        for site in world.sites.values():
            self._check_journal(site, [event for event in events if isinstance(event, UpdateAccepted)])

    def _check_models(self, run: Run, events: list[Event]) -> None:
        committed = [(e.model.digest, dict(e.metrics)) for e in events if isinstance(e, RoundCommitted)]
        expected = undisturbed(run.manifest, events, self._world.data)
        if not self._world.shape.secure:
            assert committed == expected.committed, "a model is not that of an undisturbed run"
            return
        assert len(committed) == len(expected.models)
        blobs = FileBlobStore(self._world.aggregator.folders.now)
        last = decode(blobs.path(committed[-1][0]).read_bytes())
        for name, array in expected.models[-1].items():
            assert np.abs(last[name] - array).max() < ERROR, f"{name} is not that of an undisturbed run"

    def _check_files(self, run: Run) -> None:
        world = self._world
        directory = world.aggregator.folders.now
        kept = {path.name for path in (directory / "blobs").rglob("*") if path.is_file()}
        assert world.aggregator.service is not None
        # An upload may end after its claim; the next occasion deletes it.
        leaked = kept - references(run) - set(world.aggregator.service._run_registry.retention._late)
        assert not leaked, f"blobs that nobody needs: {leaked}"
        left = [path for path in (directory / "runs").rglob("life-*") if path.is_dir()]
        assert not left, f"folders of workers that have ended: {left}"

    def _check_audit(self) -> None:
        world, here = self._world, service_fixture()
        directory = world.aggregator.folders.now
        now_ms = round(world.clock("aggregator").timestamp() * 1000)
        exports = JournalExporter(world.aggregator.kept, here.identity(directory), world.root, lambda: now_ms)
        report = verify(exports.write(RUN), here.authority.certificate)
        assert not report.failed, report.failed

    def _check_journal(self, site: AgentLives, accepted: list[UpdateAccepted]) -> None:
        """The site's own journal has no release twice in a row, and all that was accepted of the site."""
        if self._world.shape.secure:
            check_records(
                site.name, [read_site_record(record.kind, record.body) for record in site.records()]
            )
        history, found, latest = SiteHistory(), {}, {}
        for record in site.records():
            history.add(record)
            found[record.digest] = record.body
            exchange = record.body.get("exchange", 0)
            assert latest.get(exchange) != record.body, f"{site.name} has recorded one release twice"
            latest[exchange] = record.body
        for event in accepted:
            if event.site == site.name:
                assert event.statement is not None
                body = found[event.statement.body["journal"]["digest"]]
                told = (event.exchange, event.num_examples, event.metrics)
                assert (body["exchange"], body.get("num_examples", 0), body.get("metrics", {})) == told
                digest = None if body["update"] is None else body["update"]["digest"]
                assert digest == event.update


def _left_of_tasks(folder: Path) -> bool:
    return any(folder.glob("in/*.safetensors")) or any(folder.glob("outcomes/*.safetensors"))
