"""The pictures of the documentation draw what the code says, and need nothing but themselves."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.run.evolve import PHASE_TABLE
from hanse.core.run.exchange import MEMBER_TABLE

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "assets" / "diagrams").glob("*.svg"))
PAGES = "".join(path.read_text("utf-8") for path in ROOT.glob("docs/**/*.md"))

_TITLE = "{http://www.w3.org/2000/svg}title"
_PATH = "{http://www.w3.org/2000/svg}path"
_TEXT = "{http://www.w3.org/2000/svg}text"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module(name)


def arrows(svg: str) -> list[str]:
    """The names of the arrows of a picture."""
    return [path.findtext(_TITLE, "") for path in ElementTree.fromstring(svg).iter(_PATH) if len(path)]


def drawn(svg: str) -> set[tuple[str, str, str]]:
    """State, event and next state of each arrow of a state machine; an arrow may begin at several states."""
    found = set()
    for name in arrows(svg):
        ends, _, events = name.partition(": ")
        befores, _, after = ends.partition("→ ")
        found |= {
            (before.strip(), event, after) for before in befores.split(" or ") for event in events.split(", ")
        }
    return found


def moves(table: Mapping[type, Mapping[str, str]]) -> set[tuple[str, str, str]]:
    return {
        (before.value, event.__name__, after.value)
        for event, states in table.items()
        for before, after in states.items()
        if before is not after
    }


def test_the_picture_of_a_run_has_every_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = load("diagrams", monkeypatch).run_diagram()

    assert drawn(picture) == moves(PHASE_TABLE) | {("", "RunSubmitted", "submitted")}


def test_the_picture_of_a_site_in_an_exchange_has_every_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = load("diagrams", monkeypatch).member_diagram()

    assert drawn(picture) == moves(MEMBER_TABLE) | {("", "ExchangeOpened", "assigned")}


def test_a_state_without_a_place_is_drawn_below_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    diagrams = load("diagrams", monkeypatch)
    layout = diagrams.Layout("t", (300, 100), {"one": (80, 50)}, ("Begun", ((0, 50), (28, 50)), "one"))

    picture = diagrams.machine_diagram(layout, ["one", "two"], {("one", "two"): ("Moved",)})

    assert drawn(picture) == {("", "Begun", "one"), ("one", "Moved", "two")}
    heights = {text.text: float(text.get("y", "")) for text in ElementTree.fromstring(picture).iter(_TEXT)}
    assert heights["two"] > heights["one"]


def test_the_picture_of_imports_has_every_package_and_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grimp", reason="comes with import-linter")
    generate = load("generate", monkeypatch)
    imports = set(generate.imports())

    picture = generate.diagrams()["imports"]

    assert sorted(arrows(picture)) == sorted(f"{importer} → {imported}" for importer, imported in imports)
    texts = {text.text for text in ElementTree.fromstring(picture).iter(_TEXT)}
    assert {package for floor in generate.floors() for package in floor} <= texts
    assert ("cli", "doctor") in imports


# --------------------------------------------------------------- self-contained


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_shown_and_needs_no_other_file(path: Path) -> None:
    text = path.read_text("utf-8")

    assert f"assets/diagrams/{path.name})" in PAGES
    assert set(re.findall(r"https?://[^\"' <]+", text)) == {"http://www.w3.org/2000/svg"}
    assert re.search(r"<script|href=|url\(|@import|@font-face", text) is None


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_every_colour_for_light_and_for_dark(path: Path) -> None:
    light, _, dark = path.read_text("utf-8").partition("prefers-color-scheme: dark")

    used = set(re.findall(r"var\((--[a-z-]+)\)", light + dark))
    assert used <= set(re.findall(r"(--[a-z-]+): #", light)) & set(re.findall(r"(--[a-z-]+): #", dark))


# ----------------------------------------------------------------- layout in rows


@st.composite
def layered_graphs(draw: st.DrawFn) -> tuple[list[list[str]], list[tuple[str, str]]]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    rows = [[f"n{row}-{place}" for place in range(size)] for row, size in enumerate(sizes)]
    downwards = [
        (upper, lower)
        for number, row in enumerate(rows)
        for upper in row
        for below in rows[number + 1 :]
        for lower in below
    ]
    return rows, draw(st.lists(st.sampled_from(downwards), unique=True, max_size=12)) if downwards else []


@given(layered_graphs())
def test_boxes_and_passing_arrows_of_a_row_do_not_touch(
    graph: tuple[list[list[str]], list[tuple[str, str]]],
) -> None:
    rows, edges = graph
    with pytest.MonkeyPatch.context() as monkeypatch:
        layers = load("layers", monkeypatch).Layers(
            rows, edges, {name: 50.0 for row in rows for name in row}, 10
        )

    for number, row in enumerate(rows):
        passing = [node for route in layers.routes.values() for node in route if node[2:] == (number,)]
        ends = sorted(
            (layers.x[node] - width, layers.x[node] + width)
            for node, width in [*((name, 25.0) for name in row), *((node, 0.0) for node in passing)]
        )
        assert all(right + 10 <= left + 1e-6 for (_, right), (left, _) in pairwise(ends))
        assert ends[0][0] >= -1e-6


def test_rows_are_ordered_so_that_arrows_need_not_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["a", "b"], ["c", "d"]]
    widths = dict.fromkeys("abcd", 50.0)

    layers = load("layers", monkeypatch).Layers(rows, [("a", "d"), ("b", "c")], widths, 10)

    assert (layers.x["a"] < layers.x["b"]) == (layers.x["d"] < layers.x["c"])
    assert layers.x["a"] == pytest.approx(layers.x["d"])
