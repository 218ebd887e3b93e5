from collections.abc import Iterator
from typing import Any

import pytest

from hanse.aggregator.members.journal_heads import JournalHeads
from hanse.core.journal.membership import STREAM
from hanse.core.journal.site_records import JournalHead
from hanse.storage.journal_memory import MemoryJournal

CERTIFICATE = {"certificate": "-", "signature": "-"}


class Grounds:
    """An aggregator's journal, and what it remembers of it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.heads = JournalHeads(self.journal)

    def enrol(self, site: str, time_ms: int, role: str = "collaborator") -> None:
        self.journal.append(STREAM, [("PartyEnrolled", {"name": site, "role": role})], time_ms=time_ms)

    def hear(
        self, site: str, head: Any, *, run: str = "demo-1", kind: str = "UpdateAccepted", at: int = 9
    ) -> None:
        statement = {"body": {"site": site, "journal": head}, **CERTIFICATE}
        event = {"exchange": 1, "site": site, "statement": statement}
        (record,) = self.journal.append(run, [(kind, event)], time_ms=at)
        self.heads.note(record)

    def reopened(self) -> JournalHeads:
        """What an aggregator remembers that starts on the same journal."""
        heads = JournalHeads(self.journal)
        heads.note_enrolments()
        for stream in self.journal.streams():
            if stream != STREAM:
                for record in self.journal.read(stream):
                    heads.note(record)
        return heads


@pytest.fixture
def grounds() -> Iterator[Grounds]:
    grounds = Grounds()
    grounds.enrol("a", 1)
    yield grounds
    for site in ("a", "b"):  # a restart changes nothing
        assert grounds.reopened().latest(site) == grounds.heads.latest(site)


def head(sequence: int, generation: int = 0) -> dict[str, Any]:
    return {"generation": generation, "sequence": sequence, "digest": "a" * 64}


def test_of_a_site_that_nothing_was_heard_of_there_is_no_head(grounds: Grounds) -> None:
    assert grounds.heads.latest("a") is None


def test_the_latest_head_is_that_with_the_highest_number_whenever_it_came(grounds: Grounds) -> None:
    grounds.hear("a", head(7))
    grounds.hear("a", head(9), run="demo-2", kind="TaskFailed")
    grounds.hear("a", head(8))

    found = grounds.heads.latest("a")

    assert found is not None
    assert (found.head.sequence, found.run_id, found.sequence) == (9, "demo-2", 1)


def test_a_later_generation_counts_before_a_higher_number(grounds: Grounds) -> None:
    grounds.hear("a", head(90))
    grounds.hear("a", head(3, generation=1))

    found = grounds.heads.latest("a")

    assert found is not None
    assert found.head.place == (1, 3)


def test_each_site_has_its_own(grounds: Grounds) -> None:
    grounds.hear("a", head(7))
    grounds.hear("b", head(3))

    found = grounds.heads.latest("b")

    assert found is not None
    assert found.head.sequence == 3


@pytest.mark.parametrize("stated", [None, "?", {"sequence": -1}, []])
def test_a_statement_without_a_head_is_passed_over(grounds: Grounds, stated: Any) -> None:
    grounds.hear("a", stated)

    assert grounds.heads.latest("a") is None


def test_other_events_say_nothing_of_heads(grounds: Grounds) -> None:
    grounds.hear("a", head(7), kind="TaskStarted")

    assert grounds.heads.latest("a") is None


def test_the_statement_is_the_one_that_named_the_head(grounds: Grounds) -> None:
    grounds.hear("a", head(7))
    grounds.hear("a", head(9))
    found = grounds.heads.latest("a")
    assert found is not None

    statement = grounds.heads.statement(found)

    assert JournalHead.model_validate(statement.body["journal"]) == found.head


def test_a_site_that_was_enrolled_anew_begins_anew(grounds: Grounds) -> None:
    grounds.hear("a", head(90), at=5)
    grounds.enrol("a", 20)

    assert grounds.heads.latest("a") is None

    grounds.hear("a", head(2), at=21)
    found = grounds.heads.latest("a")
    assert found is not None
    assert found.head.sequence == 2


def test_an_operator_of_the_same_name_changes_nothing(grounds: Grounds) -> None:
    grounds.hear("a", head(90), at=5)
    grounds.enrol("a", 20, role="operator")

    assert grounds.heads.latest("a") is not None
