"""The journal of a run as a file: a header, the records and a signed seal, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hanse.core.values.canonical import canonical_json
from hanse.core.values.schema import Digest, Name, Strict
from hanse.core.values.statements import Signature
from hanse.errors import TamperedError
from hanse.files.errors import file_errors
from hanse.wire.messages.basics import RunId

JOURNAL_SEAL = "hanse journal seal 1"
"""Purpose of the aggregator's signature over the head of a chain."""
MAX_LINE_BYTES = 32 * 2**20
"""Longest line; the first record holds the whole plan."""


class Header(Strict):
    """The first line.

    Attributes:
        authority: The certificate of the federation's authority, PEM; believed by nobody who has it
            from elsewhere.
        first: What the first record names as the one before it.
    """

    format: Literal["hanse-journal/1"] = "hanse-journal/1"
    federation: Name
    run_id: str = RunId
    authority: str = Field(max_length=16_384)
    first: Digest


class Head(Strict):
    """Where a journal ended when it was sealed: what the aggregator signs.

    Attributes:
        records: Number of records.
        head: Digest of the last one.
        sealed_ms: When, milliseconds since 1970.
    """

    run_id: str = RunId
    records: int = Field(ge=1)
    head: Digest
    sealed_ms: int = Field(ge=0)


class Seal(Strict):
    """The last line."""

    seal: Head
    signature: Signature


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read a journal's lines one by one.

    Raises:
        TamperedError: A line is too long, cut off, no JSON object, or not in canonical form; names it.
        StorageError: The file cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if not line.endswith(b"\n"):
                problem = "longer than any that we write" if len(line) > MAX_LINE_BYTES else "cut off"
                raise TamperedError(f"line {number} of {path} is {problem}")
            yield _object(line[:-1], f"line {number} of {path}")


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
        # What is not canonical could be read by one program so and by another otherwise.
        if isinstance(value, dict) and canonical_json(value) == line:
            return value
    except (ValueError, RecursionError):
        pass
    raise TamperedError(f"{where} is not a line of a journal: it is not one JSON object in canonical form")
