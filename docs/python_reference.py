"""The page of the Python API, from the docstrings of the public names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import hanse
from hanse.interactive.baselines import Baselines
from hanse.interactive.operator import Operator
from hanse.interactive.simulated_run import SimulatedRun

GROUPS = {
    "Run from Python": ("simulate", "connect"),
    "At a site": (
        *("Site", "Learner", "Task", "TaskResult"),
        *("TableLearner", "binned_scores", "ifca_answer", "standardised"),
    ),
    "In a script": ("rounds", "site"),
    "Workflows": (
        "Federation",
        "Round",
        "Update",
        "Aggregate",
        "mean_metrics",
        "weighted_mean",
        "pooled_metrics",
    ),
    "Parameters": ("load", "add", "zeros_like"),
    "Errors": ("HanseError",),
}
"""Public names by the headings of the page; a name that stands in none comes last."""
RETURNED = {"simulate": (SimulatedRun, Baselines), "connect": (Operator,)}
"""Classes that a user does not name, below the function that gives them."""

MADE_BY_HANSE = ("Federation", "Round", "Update", "Aggregate")
"""Classes of which a user gets objects, and makes none."""

_REST = "More"
_SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
_SECTION = re.compile(rf"^({'|'.join(_SECTIONS)}):$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w[\w.]*): ", re.MULTILINE)
_ELSEWHERE = "See `"
"""Beginning of the docstring of a method that a user does not call."""
_WIDTH = 100

Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]


def python_reference(table: Table) -> str:
    """Write the page.

    Args:
        table: Writes a table in Markdown, from its heads and rows.
    """
    page = _Page(table)
    listed = {name for names in GROUPS.values() for name in names}
    rest = [name for name in hanse.__all__ if name not in listed]
    groups = GROUPS | ({_REST: tuple(rest)} if rest else {})
    parts = [
        "# Python API\n\n"
        "The names of `hanse`, and what they give back. [Python and notebooks](../python.md) shows them in "
        "use. Arrays are NumPy's; sizes are in bytes and times in seconds unless stated otherwise. Every "
        "error that Hanse raises on purpose is one of [these](errors.md). Messages of an aggregator "
        "(`RunStatus`, `Member`) are those of the [HTTP API](http.md#messages).\n"
    ]
    for heading, names in groups.items():
        parts.append(f"## {heading}\n")
        for name in names:
            if name in hanse.__all__:
                parts += page.name(f"hanse.{name}", getattr(hanse, name), made=name not in MADE_BY_HANSE)
            for kind in RETURNED.get(name, ()):
                parts += page.name(kind.__name__, kind, made=False)
    return "\n".join(parts)


class _Page:
    """Writes names of the API.

    Args:
        table: Writes a table in Markdown.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def name(self, path: str, value: Any, *, made: bool = True) -> Iterator[str]:
        """A function or a class.

        Args:
            path: Its name on the page.
            value: The function or class.
            made: Whether a user calls it: of a class that only Hanse makes, the parameters are not shown.
        """
        yield f"### {path}\n"
        if not inspect.isclass(value):
            yield from self._called(path, value)
            return
        if made and not getattr(value, "_is_protocol", False) and value is not hanse.HanseError:
            yield _signature(path, value)
        yield from self._described(value, without=() if made else ("Args", "Raises"))
        yield from self._members(value)

    def _called(self, path: str, function: Any) -> Iterator[str]:
        yield _signature(path, function)
        yield from self._described(function)

    def _described(self, value: Any, without: Iterable[str] = ()) -> Iterator[str]:
        text, sections = parsed(inspect.getdoc(value) or "")
        yield f"{text}\n"
        for heading, body in sections.items():
            if heading in without:
                continue
            entries = list(entries_of(body))
            if heading in ("Returns", "Yields") or not entries:
                yield f"{heading}: {' '.join(body.split())}\n"
                continue
            kinds = _kinds(value) if heading == "Attributes" else {}
            head = {"Args": "argument", "Attributes": "attribute", "Raises": "error"}[heading]
            rows = [(f"`{name}`", _kind(kinds.get(name, "")), told) for name, told in entries]
            if not any(kind for _, kind, _ in rows):
                yield self._table((head, ""), ((name, told) for name, _, told in rows))
            else:
                yield self._table((head, "type", ""), rows)

    def _members(self, kind: type) -> Iterator[str]:
        """Properties as a table, then methods."""
        own = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        properties = {
            name: value for name, value in own.items() if isinstance(value, property) or _is_cached(value)
        }
        if properties:
            rows = [
                (f"`{name}`", _kind(_returned(value)), " ".join((inspect.getdoc(value) or "").split()))
                for name, value in properties.items()
            ]
            yield self._table(("attribute", "type", ""), rows)
        for name, value in own.items():
            if inspect.isfunction(value) and not (value.__doc__ or "").startswith(_ELSEWHERE):
                yield f"#### {kind.__name__}.{name}\n"
                yield from self._called(name, value)


def parsed(doc: str) -> tuple[str, dict[str, str]]:
    """A docstring in Google's style: its text, and its sections by their headings, without indentation."""
    parts = _SECTION.split(doc)
    sections = {
        heading: inspect.cleandoc(f"\n{body}") for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return parts[0].strip(), sections


def entries_of(section: str) -> Iterator[tuple[str, str]]:
    """The entries of a section, `name: text`, each text on one line."""
    parts = _ENTRY.split(section)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        yield name, " ".join(text.split())


def _signature(path: str, value: Any) -> str:
    """A call as code; on several lines where it is long."""
    signature = inspect.signature(value)
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    returned = signature.return_annotation
    end = f" -> {returned}" if isinstance(returned, str) and not inspect.isclass(value) else ""
    told = list(_with_marks(parameters))
    line = f"{path}({', '.join(told)}){end}"
    if len(line) > _WIDTH:
        line = "\n".join([f"{path}(", *(f"    {one}," for one in told), f"){end}"])
    return f"```text\n{line}\n```\n"


_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _with_marks(parameters: Iterable[inspect.Parameter]) -> Iterator[str]:
    """Parameters as they are written, with a star before those that are given by name only."""
    marked = False
    for one in parameters:
        marked = marked or one.kind is one.VAR_POSITIONAL
        if one.kind is one.KEYWORD_ONLY and not marked:
            marked = True
            yield "*"
        name = f"{_STARS.get(one.kind, '')}{one.name}"
        kind = "" if one.annotation is one.empty else f": {one.annotation}"
        yield f"{name}{kind}{_default(one.default)}"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    # The factory of a dataclass's field has an address in what it shows of itself.
    return " = {}" if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS" else f" = {value!r}"


def _kinds(kind: Any) -> dict[str, str]:
    """Annotations of the attributes of a class, as they are written."""
    found: dict[str, str] = {}
    for one in reversed(getattr(kind, "__mro__", ())):
        found |= {name: str(text) for name, text in vars(one).get("__annotations__", {}).items()}
    return found


def _kind(text: str) -> str:
    return f"`{text}`" if text and text != "Any" else ""


def _returned(value: Any) -> str:
    function = value.fget if isinstance(value, property) else value.func
    return str(function.__annotations__.get("return", ""))


def _is_cached(value: Any) -> bool:
    return type(value).__name__ == "cached_property"
