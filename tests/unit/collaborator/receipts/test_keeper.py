"""Receipts of outcomes: good ones are kept, and with any other the outcome is sent again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from tests.parties import NOW, new_authority
from tests.receipts import Signer, head, received
from tests.unit.collaborator.aggregators import Site, manifest_of, tasks_of
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.receipts.store import ReceiptStore
from hanse.collaborator.review import Reviewer
from hanse.core.journal.receipts import read_receipt
from hanse.core.values.statements import CertifiedStatement
from hanse.wire.messages.sites import ResultRequest, RunWork
from hanse.wire.receipt_file import KeptReceipt, read_receipts

Run = Callable[[Any], Any]
Forge = Callable[[Site, CertifiedStatement, ResultRequest], CertifiedStatement]


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of())
    run(Reviewer(site.context()).review(work))
    return work


def perform(site: Site, run: Run, work: RunWork, exchange: int = 1) -> None:
    """Have an agent that just started see to a task."""
    run(tasks_of(site.context(), FakeWorkers()).run(work, site.assignment(exchange=exchange)))


def kept(site: Site, run_id: str = "demo-1") -> list[CertifiedStatement]:
    path = site.directory / "receipts" / f"{run_id}.jsonl"
    found = list(read_receipts(path)) if path.exists() else []
    return [line.statement for line in found if isinstance(line, KeptReceipt)]


def test_the_receipt_of_an_outcome_is_kept(site: Site, run: Run, work: RunWork) -> None:
    perform(site, run, work)

    assert kept(site) == site.upstream.receipts_given
    (receipt,) = (read_receipt(each.body) for each in kept(site))
    assert receipt.received is not None
    assert receipt.received.exchange == 1


def test_each_outcome_comes_with_the_last_receipt(site: Site, run: Run, work: RunWork) -> None:
    perform(site, run, work, 1)
    perform(site, run, work, 2)
    perform(site, run, work, 3)

    first, second, _ = site.upstream.receipts_given
    assert [request.receipt for request in site.upstream.requests] == [None, first, second]


FORGERIES: dict[str, tuple[Forge, str]] = {
    "altered": (
        lambda site, sound, request: sound.model_copy(
            update={"body": {**sound.body, "time_ms": sound.body["time_ms"] + 1}}
        ),
        "was altered",
    ),
    "another federation's": (
        lambda site, sound, request: Signer(new_authority(), NOW).of_outcome(
            request.statement.body, head(12)
        ),
        "another federation's authority",
    ),
    "not a receipt": (
        lambda site, sound, request: sound.model_copy(update={"body": {}}),
        "malformed receipt",
    ),
    "of another run": (
        lambda site, sound, request: signed(site, request, run_id="demo-2"),
        "about another outcome",
    ),
    "of another exchange": (
        lambda site, sound, request: signed(site, request, exchange=7),
        "about another outcome",
    ),
    "of another outcome": (
        lambda site, sound, request: signed(site, request, outcome="0" * 64),
        "about another outcome",
    ),
    "of another site": (
        lambda site, sound, request: site.upstream.receipt(request, site="hospital-b"),
        "not a receipt of an outcome of hospital-a",
    ),
    "of no outcome": (
        lambda site, sound, request: site.upstream.signer.receipt(),
        "not a receipt of an outcome",
    ),
    "of an earlier record": (
        lambda site, sound, request: signed(site, request, journal=head(4)),
        "an earlier record than the receipt before",
    ),
    "that forgets the last": (
        lambda site, sound, request: signed(site, request, known=None),
        "does not name the record",
    ),
    "replayed": (
        lambda site, sound, request: site.upstream.receipts_given[0],
        "about another outcome",
    ),
}
"""By how the receipt is wrong: what makes it of a sound one, and the words of the log."""


def signed(site: Site, request: ResultRequest, **changes: Any) -> CertifiedStatement:
    """A receipt that the aggregator has signed, about something else."""
    sound = read_receipt(site.upstream.receipt(request).body).received
    assert sound is not None
    return site.upstream.signer.receipt(sound.model_copy(update=changes))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_outcome_without_a_good_receipt_is_sent_again(
    site: Site, run: Run, work: RunWork, forgery: str
) -> None:
    perform(site, run, work, 1)
    forge, words = FORGERIES[forgery]
    pending, said = [forge], list[str]()

    def given(sound: CertifiedStatement) -> CertifiedStatement:
        return pending.pop()(site, sound, site.upstream.requests[-1]) if pending else sound

    site.upstream.forge = given
    context = site.context()
    patience = replace(context.retry_policy, on_retry=lambda error, *_: said.append(str(error)))
    tasks = tasks_of(replace(context, retry_policy=patience), FakeWorkers())
    run(tasks.run(work, site.assignment(exchange=2)))

    assert [outcome.exchange for outcome in site.upstream.outcomes] == [1, 2, 2]
    first, _, third = site.upstream.receipts_given
    assert kept(site) == [first, third]
    assert len(said) == 1
    assert "the receipt of exchange 2 of run demo-1 does not hold" in said[0]
    assert words in said[0]


class Killed(BaseException):
    """The process ends here."""


def test_a_receipt_that_an_agent_was_killed_with_is_lost_and_nothing_else(
    site: Site, run: Run, work: RunWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform(site, run, work, 1)
    with monkeypatch.context() as dying:
        dying.setattr(ReceiptStore, "add", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            perform(site, run, work, 2)

    perform(site, run, work, 3)

    given = site.upstream.receipts_given
    assert site.upstream.requests[2].receipt == given[0]
    assert kept(site) == [given[0], given[2]]


def test_on_a_full_disk_a_receipt_is_lost_and_the_site_works_on(
    site: Site,
    run: Run,
    work: RunWork,
    largest_file: Callable[[int], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    perform(site, run, work, 1)
    add = ReceiptStore.add

    def on_a_full_disk(*arguments: Any) -> None:
        with largest_file(100):
            add(*arguments)

    with pytest.MonkeyPatch.context() as full:
        full.setattr(ReceiptStore, "add", on_a_full_disk)
        perform(site, run, work, 2)
    perform(site, run, work, 3)

    assert "a receipt cannot be kept" in caplog.text
    given = site.upstream.receipts_given
    assert kept(site) == [given[0], given[2]]


def test_another_run_gets_receipts_of_its_own(site: Site, run: Run, work: RunWork) -> None:
    perform(site, run, work, 1)
    perform(site, run, work.model_copy(update={"run_id": "demo-2"}), 1)

    first, second = site.upstream.receipts_given
    assert site.upstream.requests[1].receipt == first  # it names how far the membership had come
    assert read_receipt(second.body).received == received(site.upstream.requests[1].statement.body, head(14))
    assert (kept(site), kept(site, "demo-2")) == ([first], [second])
