import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.parties import NOW
from tests.unit.core.journal.test_site_history import answer, result

from hanse import fault_points
from hanse.collaborator.site_journal import SiteJournal, records_of
from hanse.core.journal.site_history import SiteHistory
from hanse.core.values.identity import Party, Role
from hanse.errors import StorageError, TamperedError
from hanse.fault_points import Facts, FaultPoint

PARTY = Party("north", Role.COLLABORATOR, "a")


def opened(directory: Path, party: Party = PARTY) -> SiteJournal:
    return SiteJournal(directory, party, lambda: NOW)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SiteJournal]:
    with closing(opened(tmp_path)) as journal:
        yield journal


def kinds(directory: Path) -> list[str]:
    return [record.kind for record, _ in records_of(directory, SiteHistory())]


def test_a_folder_without_a_journal_gets_one_that_says_whose_it_is(
    journal: SiteJournal, tmp_path: Path
) -> None:
    history = journal.open()

    assert history.begun is not None
    assert (history.begun.federation, history.begun.site) == ("north", "a")
    assert history.records == 1
    assert kinds(tmp_path) == ["SiteJournalBegun"]


def test_the_files_are_for_their_owner_only(journal: SiteJournal, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal.record(result())
    finally:
        os.umask(before)

    files = list(tmp_path.iterdir())
    assert {path.name for path in files} == {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_release_is_recorded_once_however_often_it_is_repeated(journal: SiteJournal) -> None:
    first = journal.record(result())

    assert journal.record(result()) == first
    assert journal.record(result(exchange=2)).sequence == first.sequence + 1


def test_a_release_is_recorded_once_through_restarts(journal: SiteJournal, tmp_path: Path) -> None:
    first = journal.record(result())
    journal.close()

    with closing(opened(tmp_path)) as later:
        assert later.record(result()) == first

    assert kinds(tmp_path) == ["SiteJournalBegun", "ResultReleased"]


def test_an_answer_that_a_command_recorded_meanwhile_is_not_recorded_again(
    journal: SiteJournal, tmp_path: Path
) -> None:
    journal.open()
    with closing(opened(tmp_path)) as command:
        recorded = command.record(answer(True))

    assert journal.record(answer(True)) == recorded
    assert journal.record(answer(False)).sequence == recorded.sequence + 1


def test_a_record_after_one_of_a_command_names_its_own_place(journal: SiteJournal, tmp_path: Path) -> None:
    journal.open()
    with closing(opened(tmp_path)) as command:
        command.record(answer(True))

    head = journal.record(result())

    assert head.sequence == 3
    assert journal.holds(head)


def test_a_journal_holds_its_own_records_and_no_others(journal: SiteJournal) -> None:
    head = journal.record(result())

    assert journal.holds(head)
    assert not journal.holds(head.model_copy(update={"digest": "0" * 64}))
    assert not journal.holds(head.model_copy(update={"sequence": 9}))


class Killed(BaseException):
    pass


class Killer:
    """Ends the process, as it seems, at a point of the journal's."""

    def __init__(self, point: FaultPoint) -> None:
        self._point = point

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        if point is self._point:
            raise Killed

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        pass


@pytest.mark.parametrize("point", [FaultPoint.BEFORE_APPEND, FaultPoint.AFTER_APPEND])
def test_a_process_that_is_killed_while_it_begins_the_journal_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: FaultPoint
) -> None:
    monkeypatch.setattr(fault_points, "observer", Killer(point))
    with closing(opened(tmp_path)) as journal, pytest.raises(Killed):
        journal.open()
    monkeypatch.undo()

    with closing(opened(tmp_path)) as journal:
        assert journal.open().records == 1
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite"]


@pytest.mark.parametrize("point", [FaultPoint.BEFORE_APPEND, FaultPoint.AFTER_APPEND])
def test_a_process_that_is_killed_at_a_record_leaves_the_release_recorded_once_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: FaultPoint
) -> None:
    with closing(opened(tmp_path)) as journal:
        journal.open()
        monkeypatch.setattr(fault_points, "observer", Killer(point))
        with pytest.raises(Killed):
            journal.record(result())
        monkeypatch.undo()

    with closing(opened(tmp_path)) as journal:
        journal.record(result())
    assert kinds(tmp_path) == ["SiteJournalBegun", "ResultReleased"]


def garble(path: Path) -> None:
    path.write_bytes(b"?" * path.stat().st_size)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def drop_all(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM records")


def alter(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE records SET body = replace(body, '0.5', '0.4') WHERE sequence = 2")


def drop_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM records WHERE sequence = 2")


def flip(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE records SET body = CAST(x'ff' || body AS TEXT) WHERE sequence = 2")


def drop_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE records")


def rename_column(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE records RENAME COLUMN body TO content")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip, "not valid UTF-8"),
        (drop_table, "lacks the table records"),
        (rename_column, "no such column: records.body"),
        (make_folder, "is not a file"),
        (make_dangling_link, "is a link that leads to no file"),
        (garble, "is not a journal"),
        (truncate, "damaged"),
        (empty, "has no first record"),
        (drop_all, "has no first record"),
        (alter, r"record 2 of the site's journal \(ResultReleased\) was altered"),
        (drop_one, "record 3 of the site's journal follows record 1"),
    ],
)
def test_damage_is_told_with_both_ways_out(tmp_path: Path, damage: object, told: str) -> None:
    with closing(opened(tmp_path)) as journal:
        for exchange in range(1, 40):
            journal.record(result(exchange))
    assert callable(damage)
    damage(tmp_path / "journal.sqlite")

    with closing(opened(tmp_path)) as journal, pytest.raises(TamperedError, match=told) as raised:
        journal.open()

    assert "put back a copy of the file" in raised.value.mend
    assert "hanse collaborator acknowledge" in raised.value.mend
    assert "plan_digest" not in str(raised.value)  # nothing of a record


def test_another_sites_journal_is_refused(journal: SiteJournal, tmp_path: Path) -> None:
    journal.open()
    journal.close()

    other = opened(tmp_path, Party("north", Role.COLLABORATOR, "b"))

    with (
        closing(other),
        pytest.raises(TamperedError, match="is the journal of a in north, and"),
    ):
        other.open()


def test_what_is_left_beside_a_deleted_journal_is_no_part_of_the_next(
    journal: SiteJournal, tmp_path: Path
) -> None:
    journal.record(result())
    left = (tmp_path / "journal.sqlite-wal").read_bytes()
    journal.close()
    (tmp_path / "journal.sqlite").unlink()
    (tmp_path / "journal.sqlite-wal").write_bytes(left)

    journal.open()

    assert kinds(tmp_path) == ["SiteJournalBegun"]


def test_a_folder_without_a_journal_is_read_as_such_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="has no journal yet"):
        kinds(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_read_journal_without_a_right_to_write_is_left_as_it_is(
    journal: SiteJournal, tmp_path: Path
) -> None:
    journal.record(result())
    journal.close()
    (tmp_path / "journal.sqlite").chmod(0o400)
    tmp_path.chmod(0o500)

    try:
        assert kinds(tmp_path) == ["SiteJournalBegun", "ResultReleased"]
    finally:
        tmp_path.chmod(0o700)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite"]


BEGIN = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from hanse.collaborator.site_journal import SiteJournal
from hanse.core.values.identity import Party, Role
party = Party("north", Role.COLLABORATOR, "a")
sys.stdin.read()
print(SiteJournal(Path(sys.argv[1]), party, lambda: datetime.now(timezone.utc)).open().head.digest)
"""


def test_of_processes_that_begin_a_journal_at_once_all_use_that_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BEGIN, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    ended = [process.communicate(timeout=60) for process in started]

    assert [process.returncode for process in started] == [0] * 4, ended
    assert len({out for out, _ in ended}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite"]


def test_a_process_that_finds_the_journal_of_another_in_its_place_uses_that(
    journal: SiteJournal, tmp_path: Path
) -> None:
    head = journal.record(result())

    with closing(opened(tmp_path)) as late:
        late.begin(late.first())
        assert late.open().head == head


def test_what_a_killed_process_left_of_a_new_journal_is_no_part_of_the_next(
    journal: SiteJournal, tmp_path: Path
) -> None:
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"journal.sqlite.part{end}").write_bytes(b"?" * 100_000)

    assert journal.open().records == 1
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite"]
