"""The check of the built documentation."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("check_site")


def site_with(folder: Path, **pages: str) -> Path:
    """A site with pages by name, and one picture."""
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    (folder / "picture.svg").write_text("<svg/>", "utf-8")
    return folder


def test_a_site_whose_links_lead_on_is_accepted(check: ModuleType, tmp_path: Path) -> None:
    site = site_with(
        tmp_path,
        index='<a href="other.html#p%C3%A4ge">x</a> <a href="https://a.org">x</a> <img src="picture.svg">',
        other='<h1 id="päge"></h1><a href="#päge">x</a><a href="">x</a>',
    )

    assert check.problems(site) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="gone.html">x</a>', "gone.html does not exist in the site"),
        ('<img src="gone.svg">', "gone.svg does not exist in the site"),
        ('<a href="other.html#gone">x</a>', "other.html has no place #gone"),
        ('<a href="#gone">x</a>', "index.html has no place #gone"),
        ('<a href="/other.html">x</a>', "/other.html begins at the root of a server"),
        ('<a href=".">x</a>', ". does not exist in the site"),
        ('<script src="https://cdn.example.org/a.js"></script>', "fetches https://cdn.example.org/a.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/a">', "fetches //fonts.example.org/a"),
    ],
)
def test_an_address_that_leads_nowhere_or_elsewhere_is_found(
    check: ModuleType, tmp_path: Path, text: str, problem: str
) -> None:
    site = site_with(tmp_path, index=text, other="")

    assert check.problems(site) == [f"index.html: {problem}"]


def test_what_is_wrong_on_every_page_is_one_line(check: ModuleType, tmp_path: Path) -> None:
    site = site_with(tmp_path, a='<a href="gone.html">', b='<a href="gone.html">', c='<a href="gone.html">')

    assert check.problems(site) == ["a.html and 2 more: gone.html does not exist in the site"]


def test_a_style_that_fetches_from_elsewhere_is_found(check: ModuleType, tmp_path: Path) -> None:
    site = site_with(tmp_path, index="")
    (site / "a.css").write_text('body { background: url("https://example.org/a.png") }', "utf-8")

    assert check.problems(site) == ["a.css: its style fetches from elsewhere"]


def test_a_folder_without_pages_is_refused(check: ModuleType, tmp_path: Path) -> None:
    assert "no pages" in check.problems(tmp_path)[0]
