"""A file of settings, from text to a checked value; says of all that is wrong on which line it stands."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hanse.config.dialect import DialectError, Loc, parse
from hanse.config.schema import Node, spell
from hanse.core.values.schema import PlacedError, Strict
from hanse.core.values.wording import and_more
from hanse.errors import ConfigError

MAX_BYTES = 1 << 18
"""Largest file of settings; reading one of this size takes a second or two."""

_MOST_PROBLEMS = 20
_WORDS = {
    "Input should": "should",
    "String should": "should",
    "Tuple should": "should",
    "Dictionary should": "should",
    " after validation": "",
    "a valid string": "text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid array": "a list",
}

S = TypeVar("S", bound=Strict)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's table of settings, not yet held against a schema.

    Attributes:
        file: The file, as messages name it.
        value: The table, as JSON.
        lines: Line of each value, counted from 1; empty where the table is no file's.
        error: What to raise where something is wrong.
    """

    file: str
    value: dict[str, Any]
    lines: Mapping[Loc, int]
    error: type[ConfigError]

    @staticmethod
    def load(path: Path, error: type[ConfigError]) -> Document:
        """Read a file.

        Raises:
            ConfigError: (or `error`) It cannot be read, is too long, or is no table of keys and values.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as problem:
            raise error(f"cannot read {path}: {problem.strerror}", mend="Check the path.") from None
        except ValueError:
            raise error(f"{str(path)!r} has a NUL character, and no path has one") from None
        if len(data) > MAX_BYTES:
            raise error(f"{path} is longer than {MAX_BYTES >> 10} KiB: that is not a file of settings")
        try:
            return Document.of(data.decode("utf-8"), str(path), error)
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            raise error(f"{path}:{line}: not UTF-8 text", mend="Save it as UTF-8.") from None

    @staticmethod
    def of(text: str, file: str, error: type[ConfigError]) -> Document:
        """Read a text.

        Raises:
            ConfigError: (or `error`) It is no table of keys and values.
        """
        try:
            value, lines = parse(text)
        except DialectError as problem:
            raise error(f"{file}:{problem.line}: {problem}") from None
        if not isinstance(value, dict):
            raise error(f"{file}: should hold keys and values, such as `name: my-name`")
        return Document(file, value, lines, error)

    def changed(self, values: Mapping[str, Any]) -> Document:
        """The same table with other values of these keys; those stand on no line."""
        lines = {loc: line for loc, line in self.lines.items() if not loc or loc[0] not in values}
        return replace(self, value={**self.value, **values}, lines=lines)

    def check(self, schema: type[S], context: dict[str, Any] | None = None) -> S:
        """Hold the table against a schema.

        Args:
            schema: What it should be.
            context: For the schema's own validators.

        Raises:
            ConfigError: (or `self.error`) Every problem, a line each.
        """
        top = Node.of(schema)
        try:
            # As JSON, and strictly: "20" is no number, and true is none either.
            text = json.dumps(_filled(self.value, top))
            return schema.model_validate_json(text, strict=True, context=context)
        except ValidationError as invalid:
            placed: list[tuple[Loc, str]] = []
            found: dict[Loc, list[ErrorDetails]] = {}
            for error in invalid.errors(include_url=False):
                if isinstance(cause := error.get("ctx", {}).get("error"), PlacedError):
                    placed += [((*_place(error, top), *p.place), p.text) for p in cause.problems]
                elif not _counts_good_items(error):
                    found.setdefault(self._written(error, top), []).append(error)
        problems: list[tuple[Loc, str | list[ErrorDetails]]] = [*found.items(), *placed]
        problems.sort(key=lambda problem: self._line(problem[0]))
        # Put into words only where they are told: of a file that is wrong everywhere it would take minutes.
        told = [f"{self.place(loc)}: {_told(what, top)}" for loc, what in problems[:_MOST_PROBLEMS]]
        raise self.refusal(told, len(problems))

    def place(self, loc: Loc) -> str:
        """Where something stands, for a message: `plan.yaml:3: cohort.minimum`."""
        line = self._line(loc)
        return ": ".join(filter(None, (f"{self.file}:{line}" if line else self.file, spell(loc)[:200])))

    def refusal(self, problems: Sequence[str], count: int = 0) -> ConfigError:
        """The one error that tells all problems; `count` is how many there are, where not all are given."""
        return self.error("\n".join(and_more(problems, _MOST_PROBLEMS, count)))

    def _written(self, error: ErrorDetails, top: Node) -> Loc:
        """Where something stands in the file: pydantic also names each kind that a value might be of."""
        loc = _place(error, top)
        here: Any = self.value
        written: list[str | int] = []
        for index, part in enumerate(loc):
            if isinstance(here, dict):
                there = part in here
            else:
                there = isinstance(here, list) and isinstance(part, int) and part < len(here)
            missing = error["type"] == "missing" and index == len(loc) - 1
            if there or missing:
                written.append(part)
                here = here[part] if there else None
        return tuple(written)

    def _line(self, loc: Loc) -> int:
        """Line of a value or, where it is missing, of the table that lacks it; 0 for the whole."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 0) if loc else 0


def _counts_good_items(error: ErrorDetails) -> bool:
    """Decide whether a list is too short only without its wrong items, which are problems of their own."""
    least = error.get("ctx", {}).get("min_length", 0)
    return error["type"] == "too_short" and len(error["input"]) >= least


def _filled(value: Any, node: Node | None) -> Any:
    """Read a table of which only the name stands there, all else commented out, as an empty one."""
    if value is None and node is not None and node.keys and "default" not in node.spec:
        return {}
    if isinstance(value, dict) and node is not None:
        return {key: _filled(inner, node.at((key,))) for key, inner in value.items()}
    return value


def _loc(error: ErrorDetails) -> Loc:
    return tuple(part for part in error["loc"] if part != "[key]")


def _place(error: ErrorDetails, top: Node) -> Loc:
    """Where it stands in the file: pydantic also names the variant of a choice, which is no place."""
    loc, whole = [], _loc(error)
    for index, part in enumerate(whole):
        node = top.at(whole[:index])
        if node is None or str(part) not in node.variants:
            loc.append(part)
    return tuple(loc)


def _told(what: str | list[ErrorDetails], top: Node) -> str:
    """A problem in words; of a value that might be of several kinds those of three kinds."""
    if isinstance(what, str):
        return what[:500]
    return "; or ".join(_problem(error, top)[:500] for error in what[:3])


def _problem(error: ErrorDetails, top: Node) -> str:
    match error["type"]:
        case "extra_forbidden":
            return _unknown(_loc(error), top)
        case "union_tag_invalid" | "union_tag_not_found":
            return _no_variant(error, top)
        case "missing":
            return "is missing"
        case "value_error":
            return str(error["ctx"]["error"])
        case "model_type" | "dict_type":
            return f"should be a table of keys and values, is {_shown(error['input'])}"
        case _:
            problem = error["msg"]
            for pydantics, ours in _WORDS.items():
                problem = problem.replace(pydantics, ours)
            return f"{problem}, is {_shown(error['input'])}"


def _unknown(loc: Loc, top: Node) -> str:
    key, table = str(loc[-1]), top.at(loc[:-1])
    known = list(table.keys) if table else []
    close = difflib.get_close_matches(key[:100], known, n=1)
    if close:
        return f"unknown key; did you mean `{close[0]}`?"
    elsewhere = [spell((*place, key)) for place, other in top.tables() if key in other.keys]
    if elsewhere:
        return f"unknown key; it stands at `{elsewhere[0]}`"
    return f"unknown key; known here are {', '.join(known)}"


def _no_variant(error: ErrorDetails, top: Node) -> str:
    key = error["ctx"]["discriminator"].strip("'")
    table = top.at(_loc(error))
    known = list(table.variants) if table else []
    if "tag" not in error["ctx"]:
        return f"lacks `{key}`, one of {', '.join(known)}; is {_shown(error['input'])}"
    tag = str(error["ctx"]["tag"])[:100]
    close = difflib.get_close_matches(tag, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known here are {', '.join(known)}"
    return f"`{tag}` is not a known {key}; {hint}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
