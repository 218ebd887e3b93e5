"""Receipts of a site as files: a folder with a file for each run, one signed receipt a line."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from pydantic import ValidationError

from hanse.core.journal.receipts import Receipt, read_receipt
from hanse.core.values.schema import problem_of
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import ProtocolError, StorageError
from hanse.files.errors import file_errors

SUFFIX = ".jsonl"
EARLIER_SUFFIX = ".jsonl.old"
"""Ends the name of the file with the earlier receipts of a run that has very many."""
MAX_LINE_BYTES = 65_536
"""Longest line; real ones have under 2 KiB."""


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt in a file, whose signature is not checked.

    Attributes:
        place: The file and the line, for messages.
        statement: As the aggregator signed it.
        receipt: The same, read.
    """

    place: str
    statement: CertifiedStatement
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line that is not a receipt.

    Attributes:
        place: The file and the line, for messages.
        problem: What is wrong, in words.
        torn: Whether the line is cut off, as the last one is after a power failure.
    """

    place: str
    problem: str
    torn: bool


def read_receipts(path: Path) -> Iterator[KeptReceipt | UnreadableLine]:
    """Read a file of receipts line by line.

    Raises:
        StorageError: The file cannot be read, or is a pipe or a device.
    """
    with file_errors(f"read {path}"), open_file(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            place = f"line {number} of {path}"
            if not line.endswith(b"\n"):
                torn = len(line) <= MAX_LINE_BYTES
                yield UnreadableLine(place, "it is cut off" if torn else "it is too long", torn)
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                continue
            yield read_line(line, place)


def read_line(line: bytes, place: str) -> KeptReceipt | UnreadableLine:
    """Read one line.

    Args:
        line: The line.
        place: For messages.
    """
    try:
        statement = CertifiedStatement.model_validate(json.loads(line))
        return KeptReceipt(place, statement, read_receipt(statement.body))
    except ValidationError as error:
        problem = problem_of(error)
    except ProtocolError as error:
        problem = error.message
    except (ValueError, RecursionError):
        problem = "it is not JSON"
    return UnreadableLine(place, problem, torn=False)


def line_of(statement: CertifiedStatement) -> bytes:
    """A receipt as a line."""
    return statement.model_dump_json().encode() + b"\n"


def receipt_files(folder: Path) -> list[Path]:
    """Files of receipts in a folder, those of before a restore of the aggregator too.

    Raises:
        StorageError: The folder cannot be read, or has something else than a file under such a name.
    """
    with file_errors(f"read {folder}"):
        found = sorted(path for path in folder.rglob("*") if path.name.endswith((SUFFIX, EARLIER_SUFFIX)))
    for path in found:
        if not path.is_file():
            raise _no_file(path)
    return found


def open_file(path: Path) -> BufferedReader:
    """Open a file that others may have made, to read it; waits for no pipe.

    Raises:
        OSError: It cannot be opened.
        StorageError: It is a pipe, a device or a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise _no_file(path)


def _no_file(path: Path) -> StorageError:
    return StorageError(
        f"{path} is not a file, and holds no receipts", mend="Delete it, or name it otherwise."
    )
