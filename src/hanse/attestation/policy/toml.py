"""Reading of TOML with the line of each value, bounded in size and depth, for messages that say where."""

from __future__ import annotations

import datetime
import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from hanse.config.dialect import Loc
from hanse.config.document import MAX_BYTES, Document
from hanse.errors import ConfigError

MAX_DEPTH = 16
"""Tables and lists inside each other."""

# A text or a comment; one that does not end goes to the end of its line, and tomllib refuses it then.
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"{3,5}|\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_PART = r'(?:[A-Za-z0-9_-]+|"[0-9]+")'
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_DEEP_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MAX_DEPTH}}}")
_TABLES = re.compile(rf"[ \t]*\[\[[ \t]*({_KEY})[ \t]*\]\]")
_TABLE = re.compile(rf"[ \t]*\[[ \t]*({_KEY})[ \t]*\]")
_VALUE = re.compile(rf"[ \t]*({_KEY})[ \t]*=")
_PLACE = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")


def read_toml(data: bytes, file: str) -> Document:
    """Read a TOML file as a document of settings, not yet held against a schema.

    Args:
        data: What stands in the file.
        file: The file, as messages name it.

    Raises:
        ConfigError: It is too long, not TOML, or nested too deep.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file} is longer than {MAX_BYTES >> 10} KiB: that is not a policy")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8 text", mend="Save it as UTF-8.") from None
    texts: list[str] = []
    plain = _without_texts(text.replace("\r\n", "\n"), texts)
    _check_depth(plain, file)
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{file}: nested more than {MAX_DEPTH} deep") from None
    except ValueError as problem:
        raise ConfigError(_malformed(str(problem), file, text)) from None
    lines: dict[Loc, int] = {}
    for place, line in _places(plain, texts):
        for length in range(1, len(place) + 1):  # a table that only its parts are written of begins there
            lines.setdefault(place[:length], line)
    document = Document(file, value, lines, ConfigError)
    _check_values(value, (), document)
    return document


def _without_texts(text: str, texts: list[str]) -> str:
    """The text with a number for each string, which is put into `texts`, and without comments."""

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if found.startswith("#"):
            return ""
        texts.append(found)
        return f'"{len(texts) - 1}"' + "\n" * found.count("\n")

    return _TEXT.sub(replaced, text)


def _check_depth(plain: str, file: str) -> None:
    """Refuse what tomllib would take long for, or run out of its stack with."""
    depth, line = 0, 1
    for character in plain:
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "\n":
            line += 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{file}:{line}: nested more than {MAX_DEPTH} deep")
    if deep := _DEEP_KEY.search(plain):
        line = plain.count("\n", 0, deep.start()) + 1
        raise ConfigError(f"{file}:{line}: a key of more than {MAX_DEPTH} parts")


def _malformed(problem: str, file: str, text: str) -> str:
    place = _PLACE.search(problem)
    if place is None:
        return f"{file}: {problem[:200]}"
    line = place[1] or text.count("\n") + 1
    return f"{file}:{line}: not TOML: {problem[: place.start()][:200]}"


def _places(plain: str, texts: list[str]) -> Iterator[tuple[Loc, int]]:
    """Where each table and key stands; of a value in several lines, where it begins."""
    above: Loc = ()
    counts: dict[Loc, int] = {}
    depth = 0
    for number, line in enumerate(plain.split("\n"), 1):
        if depth <= 0:
            if found := _TABLES.match(line):
                above = _numbered(_parts(found[1], texts), counts)
                counts[above] = counts.get(above, -1) + 1
                above = (*above, counts[above])
                yield above, number
                continue
            if found := _TABLE.match(line):
                above = _numbered(_parts(found[1], texts), counts)
                yield above, number
                continue
            if not (found := _VALUE.match(line)):
                continue
            yield (*above, *_parts(found[1], texts)), number
            line = line[found.end() :]
            depth = 0
        depth += sum(line.count(mark) for mark in "[{") - sum(line.count(mark) for mark in "]}")


def _parts(key: str, texts: list[str]) -> Loc:
    parts = (part.strip() for part in key.split("."))
    return tuple(texts[int(part[1:-1])].strip("\"'") if part.startswith('"') else part for part in parts)


def _numbered(key: Loc, counts: dict[Loc, int]) -> Loc:
    """A table's place where a list of tables stands above it: in the last of the list."""
    place: Loc = ()
    for part in key[:-1]:
        place = (*place, part)
        if place in counts:
            place = (*place, counts[place])
    return (*place, *key[-1:])


def _check_values(value: Any, at: Loc, document: Document) -> None:
    """Refuse what JSON does not have, and what is nested too deep by keys and tables together."""
    if len(at) > MAX_DEPTH:
        raise ConfigError(f"{document.place(at)}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(inner, (*at, key), document)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_values(inner, (*at, index), document)
    elif isinstance(value, datetime.date | datetime.time):
        raise ConfigError(f"{document.place(at)}: a date or time is not a value here: put text in quotes")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{document.place(at)}: {value} is not a finite number")
    elif isinstance(value, int) and abs(value) >= 1 << 63:
        raise ConfigError(f"{document.place(at)}: the number is too large")
