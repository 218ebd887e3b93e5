"""What changed between two plans."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hanse.config.dialect import Loc
from hanse.config.schema import Node, spell
from hanse.config.write import non_default_values, readable
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.wording import visible

_LONGEST = 256 * 1024
"""Largest file that is compared line by line, in bytes: comparing takes time that grows with its square."""

_ABSENT = object()


def diff_manifests(old: Manifest, new: Manifest, contents: Mapping[str, bytes] | None = None) -> list[str]:
    """Tell what changed from one plan to another.

    Args:
        old: The plan as it was.
        new: The plan as it is.
        contents: What is in the files of code, by SHA-256, as far as it is at hand.
            A file that is at hand in both versions is compared line by line.

    Returns:
        A line a change, keys before files; none where the plans are the same.
    """
    lines = [
        *_values(non_default_values(old.plan), non_default_values(new.plan), Node.of(Plan)),
        *_files(_by_path(old), _by_path(new), contents or {}),
    ]
    return [visible(line.expandtabs()) for line in lines]


def _values(old: dict[str, Any], new: dict[str, Any], node: Node | None, loc: Loc = ()) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        here, child = (*loc, key), node.at((key,)) if node else None
        default = _default(node, key)
        before, after = old.get(key, default), new.get(key, default)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _values(before, after, child, here)
        elif before is _ABSENT:
            yield f"{spell(here)}: added {_written(after)}"
        elif after is _ABSENT:
            yield f"{spell(here)}: removed {_written(before)}"
        elif before != after:
            yield f"{spell(here)}: {_written(before)} -> {_written(after)}"


def _default(node: Node | None, key: str) -> Any:
    """What a key means that is not written; a key of the author's own means nothing then."""
    if node is None or key not in node.keys:
        return _ABSENT
    child = node.keys[key]
    return readable(child.spec.get("default", {}), child)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _by_path(manifest: Manifest) -> dict[str, CodeFile]:
    start = [manifest.initial_model] if manifest.initial_model else []
    return {file.path: file for file in (*manifest.files, *start)}


def _files(
    old: Mapping[str, CodeFile], new: Mapping[str, CodeFile], contents: Mapping[str, bytes]
) -> Iterator[str]:
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before is None and after is not None:
            yield f"file {path}: added, {after.sha256[:12]}"
        elif before is not None and after is None:
            yield f"file {path}: removed, {before.sha256[:12]}"
        elif before and after and before.sha256 != after.sha256:
            yield f"file {path}: changed, {before.sha256[:12]} -> {after.sha256[:12]}"
            yield from _lines(path, contents.get(before.sha256), contents.get(after.sha256))


def _lines(path: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    if old is None or new is None or max(len(old), len(new)) > _LONGEST:
        return
    before, after = (data.decode("utf-8", errors="backslashreplace").splitlines() for data in (old, new))
    yield from difflib.unified_diff(before, after, f"old/{path}", f"new/{path}", lineterm="")
