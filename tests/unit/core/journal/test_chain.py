"""The hash chain of a journal."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.journal.chain import GENESIS, Record, check_chain, link
from hanse.errors import TamperedError


def chain(length: int) -> list[Record]:
    records: list[Record] = []
    for number in range(1, length + 1):
        previous = records[-1].digest if records else GENESIS
        records.append(link("run-1", number, 1_000 * number, "RoundOpened", {"round": number}, previous))
    return records


def test_a_whole_chain_ends_with_its_last_record() -> None:
    records = chain(3)

    assert check_chain(records) == (3, records[-1].digest)


def test_an_empty_chain_ends_where_it_begins() -> None:
    assert check_chain([]) == (0, GENESIS)


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_chain_can_be_checked_in_parts(first: int, second: int) -> None:
    records = chain(first + second)

    sequence, digest = check_chain(records[:first])

    assert check_chain(records[first:], previous=digest, sequence=sequence) == check_chain(records)


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "run-2"},
        {"time_ms": 1},
        {"kind": "RoundCommitted"},
        {"body": {"round": 7}},
        {"body": {"round": float("nan")}},
        {"body": {"round": "\ud800"}},
        {"digest": "f" * 64},
    ],
)
def test_an_altered_record_is_found(change: dict[str, Any]) -> None:
    records = chain(3)
    records[1] = replace(records[1], **change)

    with pytest.raises(TamperedError, match=r"record 2 of run-\d \(\w+\) was altered"):
        check_chain(records)


def test_a_record_that_was_altered_and_sealed_again_breaks_the_chain_after_it() -> None:
    records = chain(3)
    records[1] = link("run-1", 2, 2_000, "RoundOpened", {"round": 7}, records[0].digest)

    with pytest.raises(TamperedError, match="record 3 of run-1 does not follow from the record before it"):
        check_chain(records)


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ([0, 2], "record 3 of run-1 follows record 1"),
        ([1, 2], "record 2 of run-1 follows record 0"),
        ([0, 0, 1, 2], "record 1 of run-1 follows record 1"),
        ([1, 0, 2], "record 2 of run-1 follows record 0"),
    ],
)
def test_missing_doubled_and_exchanged_records_are_found(order: list[int], problem: str) -> None:
    records = chain(3)

    with pytest.raises(TamperedError, match=problem):
        check_chain([records[place] for place in order])


def test_a_record_says_all_that_its_digest_covers() -> None:
    record = chain(1)[0]

    assert Record(**record.as_json()) == record


def test_the_form_of_the_chain_never_changes() -> None:
    # Journals already written must stay verifiable: this digest is part of the format.
    record = link("run-1", 1, 1_700_000_000_000, "RoundOpened", {"name": "Zürich", "n": 1.5}, GENESIS)

    assert record.digest == "d23be076195303a12a999b15f4c87caaa5bb84f343388fd12dc91e51fee7981a"
