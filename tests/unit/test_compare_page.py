"""The page that compares Hanse with other systems states nothing without a place that shows it."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hanse.algorithms.registry import ALGORITHMS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compare.md"
TEXT = PAGE.read_text("utf-8")
HEADER = "| | Flower | NVIDIA FLARE | OpenFL | Hanse |"
SCRIPT = ROOT / "benchmarks" / "peers" / "evidence.py"

_USED = re.compile(r"\]\[([\w-]+)\]")
_DEFINED = re.compile(r"^\[([\w-]+)\]: (\S+)", re.MULTILINE)
_FILE = re.compile(r"`([\w./-]+)`")
_INTO_THE_SITE = re.compile(r"\]\(([^)#\s]*)(?:#[^)]*)?\)")


def rows() -> Iterator[tuple[str, list[str]]]:
    """The name and the four cells of each row of each table."""
    for table in TEXT.split(HEADER)[1:]:
        for line in table.split("\n\n", 1)[0].strip().splitlines()[1:]:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            yield name, cells


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers_evidence", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers_evidence"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def cells() -> list[Any]:
    systems = ["Flower", "NVIDIA FLARE", "OpenFL", "Hanse"]
    return [
        pytest.param(cell, id=f"{name}, {system}")
        for name, row in rows()
        for system, cell in zip(systems, row, strict=True)
    ]


@pytest.mark.parametrize("cell", cells())
def test_a_cell_links_to_its_evidence_or_says_that_it_was_not_checked(cell: str) -> None:
    files = [name for name in _FILE.findall(cell) if (ROOT / name).is_file()]

    assert _USED.search(cell) or _INTO_THE_SITE.search(cell) or files or "not checked" in cell


def test_no_table_escapes_the_test_of_its_cells() -> None:
    assert len(re.findall(r"^\| --- ", TEXT, re.MULTILINE)) == TEXT.count(HEADER)
    assert len(list(rows())) >= 30


def test_what_is_said_of_hanse_leads_into_this_documentation() -> None:
    elsewhere = [
        cell
        for _, (*_, cell) in rows()
        if any(link.startswith("http") for link in _INTO_THE_SITE.findall(cell))
    ]

    assert elsewhere == []
    assert [cell for _, (*_, cell) in rows() if _USED.search(cell)] == []


def test_each_reference_is_defined_once_and_used() -> None:
    defined = [name for name, _ in _DEFINED.findall(TEXT)]

    assert sorted(defined) == sorted(set(_USED.findall(TEXT)))


def test_links_into_the_documentation_lead_to_pages() -> None:
    missing = [link for link in _INTO_THE_SITE.findall(TEXT) if link and not (PAGE.parent / link).is_file()]

    assert missing == []


def test_the_version_of_hanse_is_that_of_the_package() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (version,) = [row for name, row in rows() if name == "version"]

    assert version[-1].startswith(f"{package['project']['version']} ")


def test_the_number_of_algorithms_is_that_of_the_shelf() -> None:
    (cells,) = [row for name, row in rows() if name == "algorithms in the package"]

    assert cells[-1].startswith(f"[{len(ALGORITHMS)}, ")


@pytest.mark.parametrize(
    ("column", "system"), list(enumerate(["Flower 1.42", "NVFlare 2.9", "OpenFL 1.9", "Hanse"]))
)
def test_times_are_those_of_the_page_on_performance(column: int, system: str) -> None:
    measured = (ROOT / "docs" / "performance.md").read_text("utf-8")
    (line, *_) = re.findall(rf"^\| {system} \| (.*) \|$", measured, re.MULTILINE)
    small, middle, large = line.replace("*", "").split(" | ")
    (cells,) = [row for name, row in rows() if name == "a round's time"]

    _, times = re.sub(r"\(.*?\)", "", cells[column]).split("; ")  # after the seconds, without a range
    assert re.findall(r"\d+(?:\.\d+)?", times) == [small, middle, large]


def test_seconds_are_those_of_the_picture_on_performance() -> None:
    picture = (ROOT / "docs" / "images" / "peers.svg").read_text("utf-8")
    (cells,) = [row for name, row in rows() if name == "a round's time"]
    sizes = picture.partition("<!-- seconds a round")[2].split("<!-- 8 collaborators, 1 MB -->")[0]
    drawn = set(re.findall(r"<!-- ([\d.]+) -->", sizes))

    stated = [re.findall(r"\[?([\d.]+) s\b", cell) for cell in cells]

    assert [len(each) for each in stated] == [3, 3, 3, 3]
    assert {second for each in stated for second in each} <= drawn


def test_versions_of_others_are_those_of_their_links(evidence: ModuleType) -> None:
    (version,) = [row for name, row in rows() if name == "version"]

    for cell, distribution in zip(version, ["flwr", "nvflare", "openfl"], strict=False):
        assert f"[{evidence.SOURCES[distribution].version}]" in cell


def test_each_link_into_the_code_of_a_release_names_words_to_look_for(evidence: ModuleType) -> None:
    code = [
        name
        for name, address in _DEFINED.findall(TEXT)
        if address.split("#")[0].endswith((".py", ".yml", ".yaml"))
    ]

    assert set(code) <= {link.name for link in evidence.links(TEXT)}


class TestEvidence:
    """The script that holds the links against installed releases."""

    PAGE = """[a]: https://github.com/NVIDIA/NVFlare/blob/2.9.0/nvflare/x.py#L2 "two"\n"""

    def installed(self, tmp_path: Path, text: str) -> Path:
        (tmp_path / "nvflare-2.9.0.dist-info").mkdir()
        (tmp_path / "nvflare").mkdir()
        (tmp_path / "nvflare" / "x.py").write_text(text)
        return tmp_path

    def test_words_in_their_line_are_found(self, evidence: ModuleType, tmp_path: Path) -> None:
        (link,) = evidence.links(self.PAGE)

        assert evidence.problem(link, [self.installed(tmp_path, "one\n  two, three\n")]) is None

    def test_words_in_another_line_are_named(self, evidence: ModuleType, tmp_path: Path) -> None:
        (link,) = evidence.links(self.PAGE)

        assert "line 2" in evidence.problem(link, [self.installed(tmp_path, "two\none\n")])

    def test_another_version_is_not_taken_for_the_right_one(
        self, evidence: ModuleType, tmp_path: Path
    ) -> None:
        (link,) = evidence.links(self.PAGE)
        (tmp_path / "nvflare-2.9.1.dist-info").mkdir()

        assert "not installed" in evidence.problem(link, [tmp_path])

    def test_a_page_without_links_does_not_pass(
        self, evidence: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = tmp_path / "page.md"
        page.write_text("# Nothing")

        assert evidence.main([str(page), str(tmp_path)]) == 1
        assert "0 links" in capsys.readouterr().out
