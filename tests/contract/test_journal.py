"""What every journal promises."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hanse.core.journal.chain import GENESIS, Entry, check_chain
from hanse.errors import StorageError
from hanse.storage.base import Journal
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journal_sql import SqlJournal

MAKERS: dict[str, Callable[[Path], Journal]] = {
    "memory": lambda directory: MemoryJournal(),
    "sqlite": lambda directory: SqlJournal(directory / "journal.db"),
}


@pytest.fixture(params=sorted(MAKERS))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    journal = MAKERS[request.param](tmp_path)
    yield journal
    journal.close()


def events(*numbers: int) -> list[Entry]:
    return [("counted", {"number": number}) for number in numbers]


def test_what_was_appended_is_read_back(journal: Journal) -> None:
    body = {"cohort": ["a", "b"], "rate": 0.1, "note": "né\n"}
    first = journal.append("run", [("opened", body)], time_ms=7)
    second = journal.append("run", events(1, 2), time_ms=8)

    assert journal.read("run") == [*first, *second]
    assert first[0].as_json() == {
        "stream": "run",
        "sequence": 1,
        "time_ms": 7,
        "kind": "opened",
        "body": body,
        "previous": GENESIS,
        "digest": first[0].digest,
    }


def test_the_records_of_a_stream_form_a_chain(journal: Journal) -> None:
    for number in range(3):
        journal.append("run", events(number, number), time_ms=number)

    records = journal.read("run")

    assert check_chain(records) == (6, records[-1].digest)


def test_events_of_one_append_may_have_times_of_their_own(journal: Journal) -> None:
    journal.append("run", events(1, 2), time_ms=[7, 9])

    assert [record.time_ms for record in journal.read("run")] == [7, 9]
    assert check_chain(journal.read("run"))[0] == 2


def test_a_time_too_few_keeps_all_events_out(journal: Journal) -> None:
    with pytest.raises(ValueError, match="shorter"):
        journal.append("run", events(1, 2), time_ms=[7])

    assert journal.read("run") == []


def test_streams_are_chains_of_their_own(journal: Journal) -> None:
    journal.append("b", events(1), time_ms=1)
    journal.append("a", events(2), time_ms=1)
    journal.append("b", events(3), time_ms=1)

    assert [record.body["number"] for record in journal.read("b")] == [1, 3]
    assert check_chain(journal.read("a"))[0] == 1


def test_streams_are_named_in_the_order_in_which_they_began(journal: Journal) -> None:
    for stream in ("z", "a", "z", "m"):
        journal.append(stream, events(1), time_ms=1)

    assert journal.streams() == ["z", "a", "m"]


def test_reading_goes_on_where_it_stopped(journal: Journal) -> None:
    journal.append("run", events(*range(5)), time_ms=1)

    assert [record.sequence for record in journal.read("run", after=1, limit=2)] == [2, 3]
    assert [record.sequence for record in journal.read("run", after=3)] == [4, 5]
    assert journal.read("run", after=5) == []


def test_an_unknown_stream_is_empty(journal: Journal) -> None:
    assert journal.read("nobody") == []


def test_appending_nothing_begins_no_stream(journal: Journal) -> None:
    assert journal.append("run", [], time_ms=1) == ()
    assert journal.streams() == []


def test_one_bad_event_keeps_all_of_them_out(journal: Journal) -> None:
    with pytest.raises(ValueError, match="JSON"):
        journal.append("run", [*events(1), ("measured", {"loss": float("nan")})], time_ms=1)

    assert journal.read("run") == []
    assert journal.streams() == []


def test_an_event_changed_after_it_was_appended_changes_nothing(journal: Journal) -> None:
    body = {"sites": ["a"]}
    journal.append("run", [("opened", body)], time_ms=1)

    body["sites"].append("b")

    assert journal.read("run")[0].body == {"sites": ["a"]}


def test_many_threads_may_append_to_one_stream(journal: Journal) -> None:
    def add(number: int) -> None:
        journal.append("run", events(number, number), time_ms=1)
        journal.read("run")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))

    records = journal.read("run")
    assert check_chain(records)[0] == 80
    assert sorted(record.body["number"] for record in records[::2]) == list(range(40))


@pytest.mark.parametrize(
    "use",
    [
        lambda journal: journal.append("run", events(1), time_ms=1),
        lambda journal: journal.read("run"),
        lambda journal: journal.streams(),
    ],
)
def test_a_closed_journal_refuses(journal: Journal, use: Callable[[Journal], object]) -> None:
    journal.close()

    with pytest.raises(StorageError, match="closed"):
        use(journal)


def test_closing_twice_is_no_error(journal: Journal) -> None:
    journal.close()
    journal.close()
