"""The YAML that Hanse reads and writes: version 1.2's core schema, and no more than plain values.

`no` and `12:30` are text, `1e-5` is a number, as people expect who did not
grow up with YAML 1.1. Aliases, tags, repeated keys and infinities are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_DEPTH = 32
"""Deepest nesting that is read."""

Loc = tuple[str | int, ...]
"""Where a value stands: keys and indices from the top."""

_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[re.Pattern[str], str, Callable[[str], Any]]] = {
    # tag: what it looks like, what it begins with, how it is read
    "null": (re.compile(r"~|null|Null|NULL|"), "~nN", lambda _: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF", lambda text: text.lower() == "true"),
    "int": (re.compile(r"[-+]?[0-9]+"), "-+0123456789", int),
    "float": (
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"),
        "-+.0123456789",
        lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan")),
    ),
}


class Parsed(NamedTuple):
    """A text's value, and the line (from 1) on which each part of it begins."""

    value: Any
    lines: dict[Loc, int]


class DialectError(Exception):
    """A text is not YAML as read here.

    Attributes:
        line: Where, counted from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


def parse(text: str) -> Parsed:
    """Read one document.

    Raises:
        DialectError: The text is malformed or uses what is not read here.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Loc, int] = {}
        return Parsed(None if node is None else _value(node, (), lines), lines)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DialectError(f"the character U+{error.character:04X} is not allowed", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise DialectError(problem, mark.line + 1 if mark else 1) from None
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF", which PyYAML does not check
        raise DialectError("an escape that names no character", loader.line + 1) from None


def nodes(text: str) -> yaml.MappingNode | None:
    """Find where each part of a text that `parse` has read stands, for those who change a part of it.

    Returns:
        The table with the places of its parts; None where the text is something else.
    """
    node = _Loader(text).get_single_node()
    return node if isinstance(node, yaml.MappingNode) else None


def dump(value: Any) -> str:
    """Write a JSON value, so that `parse` gives it back; what is short and inside stands on one line."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (`*name`) are not read here: write the value out", event.start_mark)
        if self._depth == MAX_DEPTH:
            raise _refusal(f"nested more than {MAX_DEPTH} deep", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """PyYAML's own rules and ours: text that either would take for something else is quoted."""

    def serialize(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False  # the top has a line a key, however short
        super().serialize(node)

    def ignore_aliases(self, data: Any) -> bool:
        return True  # `parse` reads none

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In the other styles PyYAML writes some line breaks that it does not read back.
        return self.represent_scalar(f"{_TAG}str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)

for _kind, (_looks, _first, _) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _pattern = re.compile(rf"(?:{_looks.pattern})\Z")
        _class.add_implicit_resolver(_TAG + _kind, _pattern, [*_first, ""] if _kind == "null" else [*_first])


def _value(node: yaml.Node, at: Loc, lines: dict[Loc, int]) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if node.tag not in (_TAG + "seq", _TAG + "map"):
        raise _refusal(f"the tag {node.tag!r} is not read here", node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*at, index), lines) for index, item in enumerate(node.value)]
    table: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise _refusal("a key has to be text: put it in quotes", key_node.start_mark)
        if key in table:
            first = lines[(*at, key)]
            raise _refusal(f"the key {key!r} is there twice, first on line {first}", key_node.start_mark)
        lines[(*at, key)] = key_node.start_mark.line + 1
        table[key] = _value(value_node, (*at, key), lines)
    return table


def _scalar(node: yaml.ScalarNode) -> Any:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind == "str":
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _refusal("half of a surrogate pair is not text", node.start_mark)
        return text
    if kind not in _SCALARS:
        raise _refusal(f"the tag {node.tag!r} is not read here", node.start_mark)
    looks, _, read = _SCALARS[kind]
    if not looks.fullmatch(text):
        raise _refusal(f"{text[:80]!r} is not of type {kind}", node.start_mark)
    if kind == "int" and len(text) > 400:
        raise _refusal("a number of more than 400 digits", node.start_mark)
    value = read(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(f"{text[:80]} is not a finite number", node.start_mark)
    return value


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
