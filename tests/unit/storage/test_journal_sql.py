import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from hanse.core.journal.chain import Entry, check_chain
from hanse.errors import StorageError, TamperedError
from hanse.storage import journal_sql
from hanse.storage.journal_sql import SqlJournal

LargestFile = Callable[[int], AbstractContextManager[None]]

EVENT: Entry = ("counted", {"number": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with three records."""
    path = tmp_path / "journal.db"
    with closing(SqlJournal(path)) as journal:
        journal.append("run", [EVENT] * 3, time_ms=1)
    return path


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The database as a forger sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_a_journal_goes_on_after_it_was_closed(path: Path) -> None:
    with closing(SqlJournal(path)) as journal:
        journal.append("run", [EVENT], time_ms=2)

        assert check_chain(journal.read("run"))[0] == 4


def test_a_path_may_hold_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "a %20 ? # journal"

    SqlJournal(path).close()

    assert path.exists()


def test_a_url_names_a_journal_too(path: Path) -> None:
    with closing(SqlJournal(f"sqlite:///{path}")) as journal:
        assert len(journal.read("run")) == 3


def test_an_acknowledged_record_outlives_a_kill(path: Path) -> None:
    program = """
import os, signal, sys
from hanse.storage.journal_sql import SqlJournal
SqlJournal(sys.argv[1]).append("run", [("counted", {"number": 4})], time_ms=2)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)

    assert killed.returncode == -signal.SIGKILL
    with closing(SqlJournal(path)) as journal:
        assert journal.read("run")[-1].body == {"number": 4}


@pytest.mark.parametrize(
    "forgery",
    [
        """UPDATE records SET body = '{"number":2}' WHERE sequence = 2""",
        "UPDATE records SET body = 'true' WHERE sequence = 2",
        "UPDATE records SET body = '{' WHERE sequence = 2",
        """UPDATE records SET body = '{"number":NaN}' WHERE sequence = 2""",
        "UPDATE records SET kind = x'00' WHERE sequence = 2",
        "UPDATE records SET kind = 'forged' WHERE sequence = 3",
        "UPDATE records SET time_ms = 'today' WHERE sequence = 1",
        "UPDATE records SET digest = previous WHERE sequence = 2",
        "UPDATE records SET sequence = 4 WHERE sequence = 3",
        "UPDATE records SET stream = 'run', sequence = 4 WHERE stream = 'other'",
        "DELETE FROM records WHERE sequence = 1",
        "DELETE FROM records WHERE sequence = 2",
    ],
)
def test_a_forged_row_is_found(path: Path, forgery: str) -> None:
    with closing(SqlJournal(path)) as journal:
        journal.append("other", [EVENT], time_ms=1)
    with raw(path) as connection:
        connection.execute(forgery)

    with closing(SqlJournal(path)) as journal, pytest.raises(TamperedError):
        check_chain(journal.read("run"))


def test_a_locked_journal_names_the_file_and_adds_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.storage.journal_sql._BUSY_TIMEOUT_S", 0.05)
    with closing(SqlJournal(path)) as journal, raw(path) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StorageError, match=r"journal\.db is locked by another process\. Find out"):
            journal.append("run", [EVENT], time_ms=2)

        other.execute("ROLLBACK")
        assert check_chain(journal.read("run"))[0] == 3


def test_reading_does_not_wait_for_another_writer(path: Path) -> None:
    with closing(SqlJournal(path)) as journal, raw(path) as other:
        other.execute("BEGIN IMMEDIATE")

        assert len(journal.read("run")) == 3


def test_two_processes_may_take_turns(path: Path) -> None:
    with closing(SqlJournal(path)) as one, closing(SqlJournal(path)) as other:
        for journal in (one, other, one):
            journal.append("run", [EVENT], time_ms=2)

        assert check_chain(one.read("run"))[0] == 6


def test_a_full_disk_adds_nothing_and_is_overcome(path: Path, largest_file: LargestFile) -> None:
    large = ("counted", {"text": "x" * 200_000})
    with closing(SqlJournal(path)) as journal:
        with largest_file(100_000), pytest.raises(StorageError, match=r"journal\.db .*\. (Check f|F)ree"):
            journal.append("run", [EVENT, large], time_ms=2)
        assert check_chain(journal.read("run"))[0] == 3

        journal.append("run", [large], time_ms=2)
        assert check_chain(journal.read("run"))[0] == 4


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere/journal\.db cannot be opened\. Check"):
        SqlJournal(tmp_path / "nowhere" / "journal.db")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no journal " * 1000)

    with pytest.raises(StorageError, match=r"notes\.txt is not a journal"):
        SqlJournal(path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE music (title TEXT)")

    with pytest.raises(StorageError, match="another program's database"):
        SqlJournal(path)

    with raw(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("music",)]


def test_a_journal_of_a_later_version_is_refused(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("UPDATE hanse_journal SET schema = 2")

    with pytest.raises(StorageError, match=r"has schema 2; this version of Hanse knows schema 1\. Install"):
        SqlJournal(path)


def test_a_journal_of_an_earlier_version_is_taken_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqlJournal(path)) as journal:
        journal.append("run", [EVENT], time_ms=1)
        before = journal.read("run")
    monkeypatch.setattr(journal_sql, "SCHEMA", 3)
    steps = {1: ("ALTER TABLE records ADD COLUMN note TEXT",), 2: ("CREATE INDEX by_note ON records (note)",)}
    monkeypatch.setattr(journal_sql, "_STEPS", steps)

    with closing(SqlJournal(path)) as journal:
        assert journal.read("run") == before
    with closing(SqlJournal(path)) as journal:  # it is of the new version now
        journal.append("run", [EVENT], time_ms=2)
    monkeypatch.undo()
    with pytest.raises(StorageError, match=r"has schema 3; this version of Hanse knows schema 1\. Install"):
        SqlJournal(path)


def test_a_journal_that_cannot_be_taken_over_whole_is_left_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqlJournal(path).close()
    with monkeypatch.context() as later:
        later.setattr(journal_sql, "SCHEMA", 2)
        later.setattr(journal_sql, "_STEPS", {1: ("CREATE TABLE note (text TEXT)", "no SQL")})
        with pytest.raises(StorageError):
            SqlJournal(path)

    with raw(path) as connection:
        assert connection.execute("SELECT schema FROM hanse_journal").fetchall() == [(1,)]
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'note'").fetchall()


def test_a_damaged_file_is_refused(path: Path) -> None:
    with closing(SqlJournal(path)) as journal:
        journal.append("run", [EVENT] * 200, time_ms=1)
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 8] = b"\xff" * (4096 * 3)
    path.write_bytes(content)

    with pytest.raises(StorageError, match="damaged"):
        SqlJournal(path)


SECRET = "c5ec7e7"
DAMAGE = {
    "a flipped bit": f"UPDATE records SET body = CAST(x'ff' || '{SECRET}' AS TEXT) WHERE sequence = 2",
    "no records": "DROP TABLE records",
    "no schema": "DROP TABLE hanse_journal",
    "another column": "ALTER TABLE records RENAME COLUMN body TO content",
    "another column of the schema": "ALTER TABLE hanse_journal RENAME COLUMN schema TO version",
    "no version": "DELETE FROM hanse_journal",
    "no number as version": "CREATE TABLE x AS SELECT 'a' AS schema; DROP TABLE hanse_journal; "
    "ALTER TABLE x RENAME TO hanse_journal",
    "no body": "ALTER TABLE records RENAME TO x; CREATE TABLE records AS SELECT id, stream, sequence, "
    "time_ms, kind, NULL AS body, previous, digest FROM x",
    "a view": "ALTER TABLE records RENAME TO x; CREATE VIEW records AS SELECT * FROM x",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("read_only", [True, False])
def test_altered_tables_and_texts_are_damage(path: Path, damage: str, read_only: bool) -> None:
    with raw(path) as connection:
        connection.executescript(DAMAGE[damage])

    with pytest.raises(TamperedError) as raised, closing(SqlJournal(path, read_only=read_only)) as journal:
        journal.read("run")

    shown = traceback.format_exception(raised.value)
    assert SECRET not in "".join(shown)


def test_reading_only_leaves_file_and_folder_as_they_are(path: Path) -> None:
    before = path.read_bytes()

    with closing(SqlJournal(path, read_only=True)) as journal:
        assert check_chain(journal.read("run"))[0] == 3
        with pytest.raises(StorageError):
            journal.append("run", [EVENT], time_ms=2)

    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_reading_only_sees_what_a_writer_has_just_added(path: Path) -> None:
    with closing(SqlJournal(path)) as writer:
        writer.append("run", [EVENT], time_ms=2)

        with closing(SqlJournal(path, read_only=True)) as journal:
            assert check_chain(journal.read("run"))[0] == 4


def test_reading_only_makes_no_tables_in_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()

    with pytest.raises(TamperedError, match="is empty"):
        SqlJournal(path, read_only=True)

    assert path.read_bytes() == b""


def test_reading_only_takes_over_no_journal_of_an_earlier_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sql, "SCHEMA", 2)
    monkeypatch.setattr(journal_sql, "_STEPS", {1: ("CREATE TABLE note (text TEXT)",)})

    with pytest.raises(StorageError, match="of an earlier version"):
        SqlJournal(path, read_only=True)
