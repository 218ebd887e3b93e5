"""Places of interpreters and packages, as tools lay them out."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from hanse.sandbox.interpreter import editable_packages, linked_packages, links_of


def test_each_link_on_the_way_to_an_interpreter_is_named(tmp_path: Path) -> None:
    (tmp_path / "python3.12").write_text("")
    (tmp_path / "local").symlink_to("python3.12")
    (tmp_path / "venv").symlink_to(tmp_path / "local")

    assert list(links_of(str(tmp_path / "venv"))) == [
        str(tmp_path / name) for name in ("venv", "local", "python3.12")
    ]


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert {Path(link).name for link in links_of(str(tmp_path / "a"))} == {"a", "b"}


def test_a_package_that_is_a_link_leads_to_its_folder_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "project/greeting").mkdir(parents=True)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/greeting").symlink_to(tmp_path / "project/greeting")

    assert list(linked_packages([str(tmp_path / "packages")])) == [str(tmp_path / "project/greeting")]


def test_packages_that_lie_where_they_are_imported_from_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "greeting-1.0.dist-info").mkdir()
    (tmp_path / "greeting-1.0.dist-info/METADATA").write_text("")

    assert list(linked_packages([str(tmp_path), str(tmp_path / "missing")])) == []


def test_the_places_of_editable_packages_are_those_of_their_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = ModuleType("__editable___study")
    hook.MAPPING = {"study": "/srv/study/src/study"}  # type: ignore[attr-defined]
    hook.NAMESPACES = {"lab": ["/srv/lab/src"]}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, hook.__name__, hook)
    scikit_build = SimpleNamespace(
        submodule_search_locations={"fast": {"/srv/fast/src"}}, known_source_files={"one": "/srv/one.py"}
    )

    found = set(editable_packages([SimpleNamespace(__module__=hook.__name__), scikit_build]))

    assert {"/srv/study/src/study", "/srv/lab/src", "/srv/fast/src", "/srv/one.py"} <= found


@pytest.mark.parametrize("place", ["/", "/srv", "relative"])
def test_a_hook_opens_neither_the_disk_nor_what_is_directly_on_it(place: str) -> None:
    assert list(editable_packages([SimpleNamespace(submodule_search_locations={"x": [place]})])) == []
