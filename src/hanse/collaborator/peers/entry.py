"""A peer's key put into the text of `site.yaml`, or taken out: everything else stays byte for byte."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hanse.config.dialect import dump, nodes, parse
from hanse.errors import ConfigError

_SECTION, _PEERS = "secure_aggregation", "peers"
_DEFAULT = re.compile(r"^( +)# peers: \{\}[ \t]*\r?\n", re.MULTILINE)
"""The line that a new `site.yaml` has, which shows the default."""

Pair = tuple[yaml.ScalarNode, yaml.Node]


def with_peer(text: str, name: str, fingerprint: str) -> str:
    """Put the key of a peer into the text of a site's settings.

    Args:
        text: The settings, which have been read without an error.
        name: The peer; another key under this name is replaced.
        fingerprint: Its key, 64 hexadecimal digits.

    Returns:
        The new text, with comments and all other values as they were.

    Raises:
        ConfigError: The file is written in a way that this cannot change; says what to write by hand.
    """
    changed = _Text(text).added(name, fingerprint)
    return _checked(text, changed, name, fingerprint)


def without_peer(text: str, name: str) -> str:
    """Take a peer that is there out of the text of a site's settings; as `with_peer`."""
    changed = _Text(text).removed(name)
    return _checked(text, changed, name, None)


def _checked(before: str, after: str, name: str, fingerprint: str | None) -> str:
    """Hold the new text against the old one: nothing but this one peer may have changed."""
    expected: dict[str, Any] = parse(before).value
    section = dict(expected.get(_SECTION) or {})
    peers = {key: value for key, value in (section.get(_PEERS) or {}).items() if key != name}
    section[_PEERS] = peers if fingerprint is None else peers | {name: fingerprint}
    try:
        right = parse(after).value == {**expected, _SECTION: section}
    except Exception:  # noqa: BLE001  whatever the text is then, it is not written
        right = False
    if not right:
        line = f"remove `{name}`" if fingerprint is None else f"write `{name}: {fingerprint}`"
        raise ConfigError(
            "this command does not know how to change a site.yaml that is written like this one",
            mend=f"Change it by hand: {line} under `{_SECTION}: {_PEERS}:`.",
        )
    return after


class _Text:
    """A text of settings, with the places in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._top = nodes(text)
        self._section = _pair(self._top, _SECTION)
        self._peers = None if self._section is None else _pair(self._section[1], _PEERS)

    def added(self, name: str, fingerprint: str) -> str:
        entry = dump({name: fingerprint}).strip()
        if self._section is None and self._top is not None and self._top.flow_style:
            return self._into_braces(self._top, f"{_SECTION}: {{{_PEERS}: {{{entry}}}}}")
        if self._section is None:
            gap = "" if not self._text or self._text.endswith("\n") else self._newline
            lines = ["", f"{_SECTION}:", f"  {_PEERS}:", f"    {entry}", ""]
            return self._text + gap + self._newline.join(lines)
        if self._peers is None:
            value = self._section[1]
            if isinstance(value, yaml.ScalarNode) and value.value:  # `null`, written out
                begin, end = value.start_mark.index, value.end_mark.index
                return _Text(self._text[:begin].rstrip(" ") + self._text[end:]).added(name, fingerprint)
            return self._with_new_peers(self._section, entry)
        peers = self._peers[1]
        if (there := _pair(peers, name)) is not None:
            written = entry.removeprefix(dump({name: ""}).strip().removesuffix("''"))
            return self._replaced(there[1].start_mark.index, there[1].end_mark.index, written)
        if isinstance(peers, yaml.MappingNode) and peers.flow_style:
            return self._into_braces(peers, entry)
        if isinstance(peers, yaml.MappingNode):
            first, last = peers.value[0][0], peers.value[-1][1]
            return self._line_after(last.end_mark.index, f"{' ' * first.start_mark.column}{entry}")
        return self._text  # of another kind: `_checked` refuses

    def removed(self, name: str) -> str:
        there = None if self._peers is None else _pair(self._peers[1], name)
        if self._peers is None or there is None:
            return self._text
        key, peers = self._peers
        assert isinstance(peers, yaml.MappingNode)
        place = [pair[0] for pair in peers.value].index(there[0])
        if peers.flow_style:
            begin, end = there[0].start_mark.index, there[1].end_mark.index
            if place:
                begin = peers.value[place - 1][1].end_mark.index
            elif len(peers.value) > 1:
                end = peers.value[1][0].start_mark.index
            return self._replaced(begin, end, "")
        begin = self._text.rfind("\n", 0, there[0].start_mark.index) + 1
        without = self._replaced(begin, self._next_line(there[1].end_mark.index), "")
        if len(peers.value) > 1:
            return without
        colon = without.index(":", key.end_mark.index) + 1
        return f"{without[:colon]} {{}}{without[colon:]}"

    def _with_new_peers(self, section: Pair, entry: str) -> str:
        key, value = section
        if isinstance(value, yaml.MappingNode) and value.flow_style:
            return self._into_braces(value, f"{_PEERS}: {{{entry}}}")
        indent = "  "
        if isinstance(value, yaml.MappingNode):
            indent = " " * value.value[0][0].start_mark.column
        begin = self._next_line(key.end_mark.index)
        shown = _DEFAULT.search(self._text, begin, self._end_of_section(begin))
        if shown is not None and len(shown[1]) == len(indent):
            begin, end = shown.span()
        else:
            end = begin
        lines = [f"{indent}{_PEERS}:", f"{indent}  {entry}", ""]
        gap = "" if self._text[:begin].endswith("\n") else self._newline
        return self._replaced(begin, end, gap + self._newline.join(lines))

    def _end_of_section(self, begin: int) -> int:
        """Where the next line begins that is neither empty, nor a comment, nor indented."""
        following = re.compile(r"^[^\s#]", re.MULTILINE).search(self._text, begin)
        return len(self._text) if following is None else following.start()

    def _into_braces(self, table: yaml.MappingNode, entry: str) -> str:
        if table.value:
            last: int = table.value[-1][1].end_mark.index
            return self._replaced(last, last, f", {entry}")
        begin: int = table.start_mark.index + 1
        return self._replaced(begin, begin, entry)

    def _line_after(self, index: int, line: str) -> str:
        begin = self._next_line(index)
        gap = "" if self._text[:begin].endswith("\n") else self._newline
        return self._replaced(begin, begin, f"{gap}{line}{self._newline}")

    def _next_line(self, index: int) -> int:
        found = self._text.find("\n", index)
        return len(self._text) if found < 0 else found + 1

    def _replaced(self, begin: int, end: int, part: str) -> str:
        return self._text[:begin] + part + self._text[end:]


def _pair(table: yaml.Node | None, key: str) -> Pair | None:
    """A key of a table with its value."""
    if isinstance(table, yaml.MappingNode):
        for key_node, value in table.value:
            if key_node.value == key:
                return key_node, value
    return None
