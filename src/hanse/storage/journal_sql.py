"""The journal in an SQL database; the only file with SQL in it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from hanse import fault_points
from hanse.core.journal.chain import GENESIS, Entry, Record, Times, chain
from hanse.core.values.canonical import canonical_json
from hanse.errors import StorageError, TamperedError
from hanse.fault_points import FaultPoint
from hanse.storage.base import Journal

SCHEMA = 1
"""Version of the tables below; a journal of a later version is refused, one of an earlier is brought up."""
_STEPS: dict[int, tuple[str, ...]] = {}
"""What makes the tables of one version those of the next, by the former; records stay as they are."""

_BUSY_TIMEOUT_S = 5.0

_RESTORE = "Put back a copy of it, and check the disk."

_metadata = MetaData()
_schema = Table("hanse_journal", _metadata, Column("schema", Integer, primary_key=True))
_records = Table(
    "records",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("stream", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    UniqueConstraint("stream", "sequence"),
)
_FIELDS = tuple(field.name for field in fields(Record))

# Made once: to put a statement together takes longer than to carry it out.
_HEAD = (
    select(_records.c.sequence, _records.c.digest)
    .where(_records.c.stream == bindparam("stream"))
    .order_by(_records.c.sequence.desc())
    .limit(1)
)
_INSERT = insert(_records)

_SQLITE_ERRORS = {
    "SQLITE_BUSY": (
        "is locked by another process",
        "Find out who else has it open (`fuser FILE`) and end that process.",
    ),
    "SQLITE_FULL": ("cannot grow: the disk is full", "Free some space on that disk, then try again."),
    "SQLITE_IOERR": (
        "cannot be read or written",
        "Check free space, quota and health of that disk, then try again.",
    ),
    "SQLITE_READONLY": ("cannot be written", "Make the file and its directory writable."),
    "SQLITE_CANTOPEN": ("cannot be opened", "Check that its directory exists and is accessible."),
    "SQLITE_NOTADB": ("is not a journal", "Check the path."),
    "SQLITE_CORRUPT": ("is damaged", _RESTORE),
}
_ALTERED_TABLES = ("no such table", "no such column", "has no column named", "because it is a view")
"""Parts of SQLite's messages about tables that are not as this file made them."""
_DAMAGE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
"""Errors that say of the file what it is; all others say what cannot be done with it at present."""


class SqlJournal(Journal):
    """Keeps records in SQLite, or in the database that an SQLAlchemy URL names.

    Reading does not wait for writing. Several processes may read; a second
    one that writes is made to wait for a few seconds, then refused.

    Args:
        location: Path of an SQLite file, made where it does not exist, or a URL (`postgresql://...`).
        read_only: Change no byte of the SQLite file and make no file beside it; `append` is refused.

    Raises:
        StorageError: It cannot be opened, or was written by a later version of Hanse.
        TamperedError: It is damaged, or is not a journal.
    """

    def __init__(self, location: Path | str, *, read_only: bool = False) -> None:
        url = _url(location)
        sqlite = url.get_backend_name() == "sqlite"
        self._where = f"journal {url.database if sqlite else url.render_as_string(hide_password=True)}"
        self._engine = _sqlite_engine(url, read_only) if sqlite else create_engine(url)
        # Locked from the start: a transaction that has read cannot be made to wait for another writer.
        self._writer = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._read_only = read_only
        self._lock = threading.Lock()
        self._closed = False
        try:
            first = self._engine if read_only else self._writer
            with self._errors(), first.begin() as connection:
                self._prepare(connection)
        except StorageError:
            self._engine.dispose()
            raise

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        """See `Journal.append`."""
        if fault_points.observer is None:
            return self._append(stream, entries, time_ms)
        fault_points.reach(FaultPoint.BEFORE_APPEND, stream=stream, entries=entries)
        added = self._append(stream, entries, time_ms)
        fault_points.reach(FaultPoint.AFTER_APPEND, stream=stream, entries=entries)
        return added

    def _append(self, stream: str, entries: Sequence[Entry], time_ms: Times) -> tuple[Record, ...]:
        with self._lock, self._errors(), self._writer.begin() as connection:
            head = connection.execute(_HEAD, {"stream": stream}).first()
            sequence, previous = head or (0, GENESIS)
            added = chain(stream, entries, time_ms=time_ms, sequence=sequence, previous=previous)
            if added:
                connection.execute(_INSERT, [_row(record) for record in added])
            return added

    def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Record]:
        """See `Journal.read`.

        Raises:
            TamperedError: A record cannot be read any more. (Other changes are found by `check_chain`.)
        """
        query = (
            select(*(_records.c[field] for field in _FIELDS))
            .where(_records.c.stream == stream, _records.c.sequence > after)
            .order_by(_records.c.sequence)
            .limit(limit)
        )
        with self._errors(), self._engine.connect() as connection:
            return [self._record(row) for row in connection.execute(query)]

    def streams(self) -> list[str]:
        """See `Journal.streams`."""
        query = select(_records.c.stream).group_by(_records.c.stream).order_by(func.min(_records.c.id))
        with self._errors(), self._engine.connect() as connection:
            return list(connection.scalars(query))

    def close(self) -> None:
        """See `Journal.close`."""
        with self._lock:
            self._closed = True
            self._engine.dispose()

    def _prepare(self, connection: Connection) -> None:
        """Make the tables in an empty database; check those of any other."""
        tables = inspect(connection).get_table_names()
        if not tables and not self._read_only:
            _metadata.create_all(connection)
            connection.execute(insert(_schema).values(schema=SCHEMA))
            return
        missing = {_schema.name, _records.name} - set(tables)
        if len(missing) == 1:
            raise TamperedError(
                f"{self._where} is damaged: it lacks the table {missing.pop()}", mend=_RESTORE
            )
        if missing:
            what = "is another program's database" if tables else "is empty"
            raise TamperedError(f"{self._where} {what}", mend="Check the path.")
        self._bring_up(connection)
        if connection.dialect.name == "sqlite":
            fault = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if fault != "ok":
                raise TamperedError(f"{self._where} is damaged: {fault}", mend=_RESTORE)

    def _bring_up(self, connection: Connection) -> None:
        """Take over a journal of an earlier version, all at once or not at all."""
        schema: object = connection.scalar(select(_schema.c.schema))
        if not isinstance(schema, int) or schema < 1:
            raise TamperedError(f"{self._where} is damaged: it does not say its schema", mend=_RESTORE)
        if self._read_only and schema < SCHEMA:
            raise StorageError(
                f"{self._where} has schema {schema}, of an earlier version of Hanse",
                mend="Start the process that writes the journal once; it takes the journal over.",
            )
        if schema > SCHEMA or not {*range(schema, SCHEMA)} <= _STEPS.keys():
            raise StorageError(
                f"{self._where} has schema {schema}; this version of Hanse knows schema {SCHEMA}",
                mend="Install the version of Hanse that wrote it, or a later one.",
            )
        for step in range(schema, SCHEMA):
            for statement in _STEPS[step]:
                connection.exec_driver_sql(statement)
        if schema != SCHEMA:
            connection.execute(update(_schema).values(schema=SCHEMA))

    def _record(self, row: Row[Any]) -> Record:
        try:
            if any(isinstance(value, bytes) for value in row):
                raise ValueError("SQLite lets a forger put bytes where text was")
            return Record(**{**row._mapping, "body": json.loads(row.body)})
        except (ValueError, TypeError, RecursionError) as error:
            raise TamperedError(
                f"record {row.sequence} of {row.stream} in {self._where} was altered: it cannot be read",
                mend=_RESTORE,
            ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise StorageError(f"{self._where} is closed")
        try:
            yield
        except SQLAlchemyError as error:
            raise _storage_error(error, self._where) from _without_content(error)


def _url(location: Path | str) -> URL:
    if isinstance(location, str) and "://" in location:
        return make_url(location)
    return URL.create("sqlite", database=str(Path(location).absolute()))


def _sqlite_engine(url: URL, read_only: bool) -> Engine:
    options: dict[str, Any] = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
    if read_only:
        path = Path(url.database or "")
        return create_engine(url, creator=lambda: sqlite3.connect(_read_only(path), uri=True, **options))
    engine = create_engine(url, connect_args=options)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late, see `begin`
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _read_only(path: Path) -> str:
    """The URI by which SQLite reads a file and writes nothing.

    Without a write-ahead log beside the file, no process has the file open, and SQLite would make a log
    to read in its usual way.
    """
    in_use = Path(f"{path}-wal").exists()
    return f"{path.as_uri()}?{'mode=ro' if in_use else 'immutable=1'}"


def _row(record: Record) -> dict[str, Any]:
    return {**record.as_json(), "body": canonical_json(record.body).decode("utf-8")}


def _storage_error(error: SQLAlchemyError, where: str) -> StorageError:
    if isinstance(error, IntegrityError):
        return StorageError(
            f"another process wrote to {where} at the same time",
            mend="Let only one aggregator work on a run, then try again.",
        )
    cause = error.orig if isinstance(error, DBAPIError) else None
    name = getattr(cause, "sqlite_errorname", "")
    for prefix, (what, mend) in _SQLITE_ERRORS.items():
        if name.startswith(prefix):
            kind = TamperedError if prefix in _DAMAGE else StorageError
            return kind(f"{where} {what}", mend=mend)
    if _is_undecodable(cause):
        return TamperedError(f"{where} is damaged: a text in it is not valid UTF-8", mend=_RESTORE)
    if any(part in str(cause) for part in _ALTERED_TABLES):
        return TamperedError(f"{where} is damaged: {cause}", mend=_RESTORE)
    return StorageError(f"{where} failed: {cause or error}")


def _is_undecodable(cause: BaseException | None) -> bool:
    return isinstance(cause, UnicodeDecodeError) or "Could not decode to UTF-8" in str(cause)


def _without_content(error: SQLAlchemyError) -> SQLAlchemyError | None:
    """The cause for a log; None where its message quotes a record."""
    return None if isinstance(error, DBAPIError) and _is_undecodable(error.orig) else error
