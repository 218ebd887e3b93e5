"""What has to hold after every schedule of faults, whatever they were; checked by one function."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.reference import participation, undisturbed_model
from tests.faults.small_federation import SmallFederation
from tests.integration.deployment import Run, Running, Site, done
from tests.processes import until

from hanse.aggregator.blobs.retention import references
from hanse.collaborator.site_journal import records_of
from hanse.config.layout import JOURNAL
from hanse.config.load import load_plan
from hanse.core.journal.membership import STREAM
from hanse.core.journal.site_history import SiteHistory
from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    TaskFailed,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import TERMINAL
from hanse.core.run.run import Run as State
from hanse.core.run.run_events import RunFailed, RunStopped
from hanse.core.run.sums.events import SumAttempted, SumOpened
from hanse.files.copying import is_whole
from hanse.storage.journal_sql import SqlJournal
from hanse.storage.journaled_run import JournaledRun

EXIT = {"finished": 0, "failed": 5, "stopped": 5}
"""What `hanse run submit --watch` ends with, by what became of the run."""
CUT_OFF = 10
"""And where it was cut off before it knew of its run."""


CheckModel = Callable[[Run, Path], None]
"""Checks the model of a run that has finished, which is brought home to a folder."""


def check_everything(
    small_federation: SmallFederation,
    plan: Path,
    folder: Path,
    *,
    last: int | None = None,
    check_model: CheckModel | None = None,
) -> None:
    """Hold the federation's runs, processes and files against what must be true of them now.

    Args:
        small_federation: With every party up, nobody held at a gate, and no network that is bad.
        plan: Of all runs that were submitted since it was made.
        folder: For what is brought home.
        last: How many of the last runs to look at closely; None for all.
        check_model: Checks the model; None where it has the bits of an undisturbed run's.
    """
    runs = small_federation.federation.runs()
    for run in runs[:last]:
        _check_end(run)
        _check_counts(run.events)
        _check_home(run, folder / run.run_id)
        if run.status.phase != "finished" or run.status.plan_digest != load_plan(plan).digest:
            continue
        if check_model is not None:
            check_model(run, folder / run.run_id)
        else:
            expected = undisturbed_model(plan, small_federation.federation.sites, participation(run.events))
            assert run.status.model == expected, f"not the model of an undisturbed run: {run}"
    _check_list(small_federation, runs)
    for name, site in small_federation.federation.sites.items():
        _check_site_journal(name, site, runs[:last])
    _check_no_process_is_left(small_federation)
    _check_no_file_is_left(small_federation)
    _check_logs(small_federation)


def check_what_was_told(watched: Running, runs: list[Run]) -> None:
    """Hold what a person was told who submitted a plan and watched against what happened.

    Args:
        watched: `hanse run submit --watch`, which has ended.
        runs: All that there are.
    """
    code, said = watched.ended(), watched.log.read_text()
    found = {run.run_id: run for run in runs}
    told = next((line for line in said.splitlines() if line in found), None)
    if told is None:  # it was cut off before, and said so; whether the run began it cannot know
        assert code == CUT_OFF, said
        assert "`hanse run list` shows it if it did" in said
        return
    status = found[told].status
    assert code == EXIT[status.phase], f"{status.phase}, and it ended with {code}:\n{said}"
    if status.phase != "finished":
        assert status.reason in said


def check_refusal(watched: Running) -> None:
    """Hold what a person was told whose plan was refused: that it was, and nothing of a run."""
    said = watched.log.read_text().splitlines()
    assert watched.ended() not in (0, CUT_OFF, *EXIT.values()), said
    assert said[-1].startswith("error: ")
    assert all(line.startswith(("error: ", "warning: ")) for line in said)


def _check_end(run: Run) -> None:
    """It is over, in a phase that its own journal leads to, by an event that says why."""
    status = run.over()
    assert status.phase in TERMINAL
    last = [event for event in run.events if isinstance(event, RunFailed | RunStopped)]
    assert status.phase == "finished" or status.reason == last[-1].reason


def _check_counts(events: list[Event]) -> None:
    """Each accepted update is counted once: in the exchange that it was accepted in, and in its sum."""
    accepted: dict[int, dict[str, int]] = {}
    cells: dict[str, str] = {}
    for event in events:
        if isinstance(event, ExchangeOpened):
            cells = {site: cell for cell, members in event.members.items() for site in members}
        if isinstance(event, SumAttempted):  # what was masked for the attempt before counts no more
            before = accepted.get(event.exchange, {})
            accepted[event.exchange] = {
                site: count for site, count in before.items() if cells[site] != event.cell
            }
        if isinstance(event, UpdateAccepted):
            examples = accepted.setdefault(event.exchange, {})
            assert event.site not in examples, f"{event.site} is counted twice in exchange {event.exchange}"
            examples[event.site] = event.num_examples
    closed = {event.exchange: event for event in events if isinstance(event, ExchangeClosed)}
    for number, event in closed.items():
        assert set(event.answered) == accepted.get(number, {}).keys(), number
    masked: dict[int, int] = {}
    for event in events:
        if isinstance(event, SumOpened) and event.num_examples is not None:
            masked[event.exchange] = masked.get(event.exchange, 0) + event.num_examples
    sums = [event for event in events if isinstance(event, UpdatesAggregated)]
    for total in sums:
        assert total.sites == closed[total.exchange].answered
        stated = sum(accepted[total.exchange].values())
        assert total.num_examples == masked.get(total.exchange, stated)
        assert total.exchange not in masked or stated == 0, "a site's number of examples is known"
    assert all(times == 1 for times in Counter(total.exchange for total in sums).values())


def _check_home(run: Run, folder: Path) -> None:
    """The journal verifies, offline, and the model is the one that it names."""
    home = run.export(folder)
    if (model := run.status.model) is not None:
        assert is_whole(home / "model.safetensors", model.digest)


def _check_site_journal(name: str, site: Site, runs: list[Run]) -> None:
    """The journal of a site is whole, no release is in it twice in a row, and all that was accepted is."""
    bodies: dict[str, dict[str, Any]] = {}
    latest: dict[tuple[str, int], dict[str, Any]] = {}
    for record, _ in records_of(site.directory, SiteHistory()):
        bodies[record.digest] = record.body
        if "run_id" in record.body:
            key = record.body["run_id"], record.body.get("exchange", 0)
            assert latest.get(key) != record.body, f"{name} has recorded one release twice: {record}"
            latest[key] = record.body
    for run in runs:
        for event in run.events:
            if isinstance(event, UpdateAccepted | TaskFailed) and event.site == name and event.statement:
                stated = event.statement.body
                body = bodies[stated["journal"]["digest"]]
                assert (body["run_id"], body["exchange"]) == (run.run_id, event.exchange)
                assert (body.get("update") or {}).get("digest") == (stated["update"] or {}).get("digest")
                assert body.get("metrics", {}) == stated["metrics"]


def _check_list(small_federation: SmallFederation, runs: list[Run]) -> None:
    """`hanse run list` says of each run what its journal comes to."""
    listed = json.loads(done("run", "list", "--json", "-d", small_federation.federation.directory))
    states = _states(small_federation)
    assert [run["run_id"] for run in listed] == [run.run_id for run in runs]
    for told in listed:
        state = states[told["run_id"]]
        assert (told["phase"], told["reason"], told["model"], told["rounds_committed"]) == (
            state.phase.value,
            state.reason,
            None if state.model is None else state.model.digest,
            max(state.committed, 0),
        )


def _check_no_process_is_left(small_federation: SmallFederation) -> None:
    """No worker is left, of these parties nor of any that were killed."""
    own = {small_federation.party(who).pid for who in ("aggregator", *small_federation.federation.sites)}

    def gone() -> bool:
        return not _at_home_in(small_federation.federation.root) - own

    until(
        gone, f"the end of all workers, but there are {_at_home_in(small_federation.federation.root) - own}"
    )


def _at_home_in(root: Path) -> set[int]:
    """Processes whose home is below a folder, as every worker's is below that of its party."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if any(each.startswith(b"HOME=" + os.fsencode(root) + b"/") for each in environment):
            found.add(int(path.parent.name))
    return found


def _check_no_file_is_left(small_federation: SmallFederation) -> None:
    """Nothing is kept but what a run refers to, and nothing half-written."""
    home = small_federation.federation.directory
    needed = set().union(*(references(state) for state in _states(small_federation).values()))
    blobs = home / "blobs"

    def strays() -> list[Path]:
        return [
            *(path for path in blobs.glob("*/*") if path.name not in needed),
            *(home / "uploads").iterdir(),
            *home.glob("runs/*/life-*"),
            *home.glob("runs/*/*.part"),
            *(path for site in small_federation.federation.sites.values() for path in _strays_of(site)),
            *small_federation.temporary.iterdir(),
        ]

    until_none(strays)
    for path in blobs.glob("*/*"):
        assert is_whole(path, path.name)


def _strays_of(site: Site) -> list[Path]:
    return [
        path
        for pattern in (
            "blobs/*/*",
            "uploads/*",
            "runs/*/in/*",
            "runs/*/outcomes/*.safetensors",
            "runs/*/work/update.safetensors",
            "runs/*/work/tmp/*",
            "**/*.part",
        )
        for path in site.directory.glob(pattern)
    ]


def until_none(strays: Callable[[], list[Path]]) -> None:
    """Wait until nothing is left behind: a site tidies up when it hears that a run is over."""
    try:
        until(lambda: not strays(), "nothing left behind", 20.0)
    except AssertionError:
        raise AssertionError(f"left behind: {strays()}") from None


def _check_logs(small_federation: SmallFederation) -> None:
    """Nothing happened that nobody had foreseen."""
    for log in small_federation.federation.root.glob("*.log"):
        text = log.read_text(errors="replace")
        assert "internal error" not in text, f"{log}:\n{text[text.index('internal error') :][:4_000]}"


def _states(small_federation: SmallFederation) -> dict[str, State]:
    journal = SqlJournal(small_federation.federation.directory / JOURNAL)
    try:
        streams = [name for name in journal.streams() if name != STREAM]
        return {name: JournaledRun(journal, name).run for name in streams}
    finally:
        journal.close()
