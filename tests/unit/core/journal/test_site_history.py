from dataclasses import replace

import pytest

from hanse.core.journal import site_history
from hanse.core.journal.chain import ChainHead, Record
from hanse.core.journal.site_history import SiteHistory, asked_by
from hanse.core.journal.site_records import (
    STREAM,
    AggregatorRestoreAcknowledged,
    ContradictionAcknowledged,
    DamagedJournal,
    FailureReleased,
    JournalHead,
    PlanAnswerReleased,
    Release,
    ReleaseRecovered,
    RestoreAcknowledged,
    ResultReleased,
    SiteJournalBegun,
    SiteRecord,
    read_site_record,
    site_record_body,
)
from hanse.errors import TamperedError
from hanse.storage.journal_memory import MemoryJournal

BEGUN = SiteJournalBegun(federation="north", site="a", version="1")
PLAN = "1" * 64


def result(exchange: int = 1, examples: int = 5) -> ResultReleased:
    return ResultReleased(
        run_id="demo-1",
        plan_digest=PLAN,
        exchange=exchange,
        round_number=1,
        task="train",
        model=None,
        num_examples=examples,
        metrics={"loss": 0.5},
    )


def failure(reason: str) -> FailureReleased:
    about = result().model_dump(
        include={"run_id", "plan_digest", "exchange", "round_number", "task", "model"}
    )
    return FailureReleased(**about, reason=reason)


def answer(accepted: bool) -> PlanAnswerReleased:
    return PlanAnswerReleased(run_id="demo-1", plan_digest=PLAN, accepted=accepted, by="person")


def restore(heard: JournalHead, own: JournalHead, generation: int) -> RestoreAcknowledged:
    return RestoreAcknowledged(heard=heard, own=own, by="kim", reason="", generation=generation)


def written(*records: SiteRecord) -> list[Record]:
    entries = [(record.kind, site_record_body(record)) for record in records]
    return list(MemoryJournal().append(STREAM, entries, time_ms=1))


def followed(*records: SiteRecord) -> SiteHistory:
    history = SiteHistory()
    for record in written(*records):
        history.add(record)
    return history


def head(sequence: int, generation: int = 0) -> JournalHead:
    return JournalHead(generation=generation, sequence=sequence, digest="f" * 64)


def recovered(exchange: int = 1) -> ReleaseRecovered:
    about = result(exchange).model_dump(
        include={"run_id", "plan_digest", "exchange", "round_number", "task", "model"}
    )
    return ReleaseRecovered(**about, outcome="done")


@pytest.mark.parametrize("record", [BEGUN, result(), failure("no data"), answer(True), recovered()])
def test_a_record_is_read_as_it_was_written(record: SiteRecord) -> None:
    assert read_site_record(record.kind, site_record_body(record)) == record


def test_the_head_is_the_last_record() -> None:
    records = written(BEGUN, result())

    history = followed(BEGUN, result())

    assert history.head == JournalHead(generation=0, sequence=2, digest=records[1].digest)
    assert history.records == 2


def test_a_release_is_found_again_by_what_it_says() -> None:
    history = followed(BEGUN, result(1), result(2))

    found = history.released(result(1))

    assert found is not None
    assert found.sequence == 2
    assert history.released(result(1, examples=6)) is None
    assert history.released(result(3)) is None


@pytest.mark.parametrize(("first", "second"), [(answer(True), answer(False)), (result(), failure("refused"))])
def test_a_release_that_another_of_its_exchange_has_followed_is_a_new_one(
    first: Release, second: Release
) -> None:
    history = followed(BEGUN, first, second)

    assert history.released(first) is None
    assert history.released(second) is not None


def test_only_the_latest_releases_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_history, "MOST_RELEASES", 2)

    history = followed(BEGUN, result(1), result(2), result(1, examples=6), result(3))

    assert history.released(result(2)) is None
    assert history.released(result(1, examples=6)) is not None


def aggregator_restored() -> AggregatorRestoreAcknowledged:
    record = ChainHead(sequence=5, digest="c" * 64)
    return AggregatorRestoreAcknowledged(
        record=record, operator="olga", signing_key=None, stated="", by="kim", reason=""
    )


def contradicted() -> ContradictionAcknowledged:
    digests = "a" * 64, "b" * 64
    return ContradictionAcknowledged(
        stream="demo-1", sequence=3, digests=digests, folder="until", by="kim", reason=""
    )


@pytest.mark.parametrize(
    "acknowledged", [restore(head(40), head(3), generation=1), aggregator_restored(), contradicted()]
)
@pytest.mark.parametrize("release", [result(), failure("no data"), answer(True)])
def test_a_release_of_before_an_acknowledgement_does_not_stand_for_one_of_after_it(
    acknowledged: SiteRecord, release: Release
) -> None:
    history = followed(BEGUN, release, acknowledged)

    assert history.released(release) is None
    assert followed(BEGUN, release, acknowledged, release).released(release) is not None


@pytest.mark.parametrize("number", [1, 2])
def test_an_altered_record_is_named(number: int) -> None:
    records = written(BEGUN, result(), result(2))
    records[number] = replace(records[number], body={**records[number].body, "num_examples": 7})
    history = SiteHistory()
    for record in records[:number]:
        history.add(record)

    with pytest.raises(TamperedError, match=f"record {number + 1} of the site's journal .* was altered"):
        history.add(records[number])


def test_a_missing_record_is_noticed() -> None:
    records = written(BEGUN, result(), result(2))
    history = SiteHistory()
    history.add(records[0])

    with pytest.raises(TamperedError, match="follows record 1: records are missing"):
        history.add(records[2])


@pytest.mark.parametrize("records", [[result()], [BEGUN, BEGUN]])
def test_a_journal_has_one_beginning(records: list[SiteRecord]) -> None:
    with pytest.raises(TamperedError, match="cannot stand there"):
        followed(*records)


def test_a_record_of_a_later_version_is_named() -> None:
    entries = [(BEGUN.kind, site_record_body(BEGUN)), ("BudgetSpent", {"epsilon": 1.0})]
    records = MemoryJournal().append(STREAM, entries, time_ms=1)
    history = SiteHistory()
    history.add(records[0])

    with pytest.raises(
        TamperedError, match=r"record 2 of the site's journal \(BudgetSpent\) is not a record that this"
    ):
        history.add(records[1])


def test_acknowledged_are_the_records_that_were_heard_of_and_all_before() -> None:
    own = head(1)
    history = followed(BEGUN, restore(head(40), own, generation=1))

    assert history.acknowledged(head(40))
    assert history.acknowledged(head(12))
    assert not history.acknowledged(head(41))
    assert not history.acknowledged(head(2, generation=1))
    assert history.restores == 1


def test_records_after_a_restore_are_later_than_all_before() -> None:
    history = followed(BEGUN, restore(head(40), head(1), generation=1), result())

    assert history.head is not None
    assert history.head.place > head(40).place
    assert history.next_generation() == 2


def test_the_next_generation_is_beyond_all_that_is_known() -> None:
    assert SiteHistory().next_generation() == 1
    assert followed(BEGUN).next_generation(head(9, generation=4)) == 5


def test_a_journal_in_place_of_a_damaged_one_acknowledges_what_was_heard_of_that() -> None:
    damaged = DamagedJournal(damage="garbled", file="old.sqlite", heard=head(9), by="kim", reason="")
    history = followed(BEGUN.model_copy(update={"generation": 1, "instead_of": damaged}))

    assert history.acknowledged(head(9))
    assert history.damaged() == damaged
    assert history.head is not None
    assert history.head.generation == 1


@pytest.mark.parametrize("record", [result(), failure("no data"), recovered()])
def test_each_record_of_a_task_counts_its_exchange(record: SiteRecord) -> None:
    history = followed(BEGUN, record, restore(head(40), head(2), generation=1))

    assert history.exchanges.has("demo-1", PLAN, 1)
    assert history.exchanges.before_in_round(asked_by(result(2))) == 1


def test_an_answer_to_a_plan_is_no_exchange() -> None:
    history = followed(BEGUN, answer(True))

    assert history.exchanges.before_in_run(asked_by(result())) == 0
