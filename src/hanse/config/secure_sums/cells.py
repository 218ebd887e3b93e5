"""Cells written into the text of a plan file: everything else stays byte for byte."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hanse.config.dialect import DialectError, dump, nodes, parse
from hanse.config.document import Document
from hanse.core.plan.privacy.cell_rules import fewest_members
from hanse.core.plan.privacy.dealing import deal
from hanse.core.values.identity import check_name
from hanse.errors import ConfigError, PlanError
from hanse.files.atomic import write_file

_CELLS = "cells"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WrittenCells:
    """Cells that were written into a plan file.

    Attributes:
        cells: Members by cell.
        replaced: Whether other cells were there.
        fewest: Members that a cell needs by the plan.
    """

    cells: Mapping[str, tuple[str, ...]]
    replaced: bool
    fewest: int


def write_cells(plan: Path, sites: Path, size: int | None = None, *, again: bool = False) -> WrittenCells:
    """Deal the sites of a list into cells, and write them into a plan file.

    Args:
        plan: The plan file; it may lack other keys.
        sites: Names, one a line, or a YAML list.
        size: Members of a cell; see `hanse.core.plan.privacy.dealing.deal`.
        again: Whether to write others than those that are there.

    Raises:
        PlanError: The plan has cells already, or is written in a way that this cannot change.
        ConfigError: The list cannot be read, or has a name twice.
    """
    document = Document.load(plan, PlanError)
    before = document.value.get(_CELLS)
    if before and not again:
        raise PlanError(
            f"{document.place((_CELLS,))}: the plan has cells",
            mend="Sums over other cells of the same sites may show single sites, once both are known: write "
            "others (`--again`) only for a plan that was not run.",
        )
    fewest = _fewest(document.value)
    cells = deal(read_sites(sites), fewest, size)
    text = plan.read_bytes().decode("utf-8")
    changed = with_cells(text, cells)
    if changed is None:
        raise PlanError(
            f"{plan} is written in a way that this command cannot change",
            mend=f"Write it by hand: {dump({_CELLS: _lists(cells)})}",
        )
    write_file(plan, changed.encode("utf-8"), mode=plan.stat().st_mode & 0o777)
    return WrittenCells(cells, bool(before), fewest)


def read_sites(path: Path) -> tuple[str, ...]:
    """Read a list of sites: names, one a line, where `#` begins a comment; or a YAML list.

    Raises:
        ConfigError: It cannot be read, is empty, has what is not a name, or one name twice.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", mend="Check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", mend="Save it as UTF-8.") from None
    names = _listed(text)
    for name in names:
        try:
            check_name(name)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}", mend="Write one name of a site a line.") from None
    if not names:
        raise ConfigError(f"{path} names no site", mend="Write one name of a site a line.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{path} names {twice} twice", mend="A site is in one cell: name it once.")
    return tuple(names)


def with_cells(text: str, cells: Mapping[str, tuple[str, ...]]) -> str | None:
    """Put cells into the text of a plan, in the place of others or at its end; None where it cannot be done.

    Args:
        text: The plan, which is a table.
        cells: Members by cell.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    block = dump({_CELLS: _lists(cells)}).replace("\n", newline)
    changed = text + ("" if text.endswith("\n") or not text else newline) + block
    table = nodes(text)
    for key, value in table.value if table is not None else ():
        if key.value == _CELLS:
            # The end of a block is where the next part begins, after comments; so of its last part.
            line_end = text.find("\n", _last(value).end_mark.index)
            rest = "" if line_end < 0 else text[line_end + 1 :]
            changed = text[: key.start_mark.index] + block + rest
    expected = {**parse(text).value, _CELLS: _lists(cells)}
    with contextlib.suppress(DialectError):
        if parse(changed).value == expected:
            return changed
    return None


def _last(node: yaml.Node) -> yaml.Node:
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last(node.value[-1])
    return node


def _listed(text: str) -> list[str]:
    with contextlib.suppress(DialectError):
        value = parse(text).value
        if isinstance(value, list):
            return [str(each) for each in value]
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _lists(cells: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {cell: list(members) for cell, members in cells.items()}


def _fewest(plan: Mapping[str, Any]) -> int:
    """Fewest members of a cell by a plan that is not checked yet: what is not a number counts as unset."""
    minimum, cell_minimum = (_number(plan, "cohort", key, default=d) for key, d in _COHORT.items())
    colluders = _number(plan, "privacy", "secure_aggregation", "colluders", default=1)
    return fewest_members(minimum, cell_minimum, colluders)


_COHORT = {"minimum": 1, "cell_minimum": 3}


def _number(plan: Mapping[str, Any], *keys: str, default: int) -> int:
    here: Any = plan
    for key in keys:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, int) and not isinstance(here, bool) else default
