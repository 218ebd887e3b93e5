"""Writing of a policy as TOML, with what each key means."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from hanse.attestation.policy.fields import Anything
from hanse.attestation.policy.file import AppraisalPolicy

_WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_of(policy: AppraisalPolicy, head: Sequence[str] = ()) -> str:
    """A policy as `read_policy` reads it.

    Args:
        policy: The policy.
        head: Lines for people, at the top.
    """
    lines = [*_comments(" ".join(head)), f"format = {_value(policy.format)}"]
    for kind, section in policy.sections.items():
        lines += _table(section, kind.value, f"[{kind}]", described=True)
    return "\n".join(lines) + "\n"


def _table(model: BaseModel, place: str, title: str, *, described: bool) -> Iterator[str]:
    """A table: keys with values first, then the tables inside."""
    yield ""
    yield title
    fields = type(model).model_fields
    inner: list[tuple[str, Any]] = []
    for key, field in fields.items():
        value = getattr(model, key)
        if _is_table(value) or (isinstance(value, tuple) and value and _is_table(value[0])):
            inner.append((key, value))
            continue
        if described:
            yield from _comments(field.description or "")
        yield f"{key} = {_value(value)}"
    for key, value in inner:
        name = f"{place}.{key}"
        if isinstance(value, tuple):
            for index, each in enumerate(value):
                yield from _table(each, name, f"[[{name}]]", described=described and index == 0)
        else:
            yield from _table(value, name, f"[{name}]", described=described)


def _is_table(value: object) -> bool:
    return isinstance(value, BaseModel) and not isinstance(value, Anything)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, BaseModel):
        return _value({key: getattr(value, key) for key in type(value).model_fields})
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return str(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _comments(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]
