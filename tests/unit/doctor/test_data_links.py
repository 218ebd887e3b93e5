"""Links of data sources that plan code cannot follow."""

from __future__ import annotations

from pathlib import Path

from hanse.config.settings import SiteSettings
from hanse.doctor.checks import Grade
from hanse.doctor.data_links import check_data_links


def site(**data: Path) -> SiteSettings:
    return SiteSettings(federation="north", name="alpha", aggregator="https://localhost:1", data=data)


def test_links_out_of_a_data_source_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/2019.png").write_text("")
    (tmp_path / "xrays/deep").mkdir(parents=True)
    (tmp_path / "xrays/deep/a.png").symlink_to(tmp_path / "archive/2019.png")
    (tmp_path / "xrays/old").symlink_to(tmp_path / "archive")
    (tmp_path / "xrays/gone").symlink_to(tmp_path / "nowhere")

    (finding,) = check_data_links(site(xrays=tmp_path / "xrays"))

    assert finding.grade is Grade.WARN
    assert "xrays: 3 links out of the data sources" in finding.detail
    assert f"{tmp_path}/xrays/deep/a.png to {tmp_path}/archive/2019.png" in finding.detail


def test_links_within_the_data_sources_are_none_to_worry_about(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "xrays").mkdir()
    (tmp_path / "xrays/a.png").write_text("")
    (tmp_path / "xrays/b.png").symlink_to("a.png")
    (tmp_path / "xrays/labels").symlink_to(tmp_path / "labels")

    assert list(check_data_links(site(xrays=tmp_path / "xrays", labels=tmp_path / "labels"))) == []


def test_a_large_source_is_looked_at_in_part(tmp_path: Path) -> None:
    (tmp_path / "xrays").mkdir()
    for number in range(5):
        (tmp_path / f"xrays/{number}").symlink_to("/nowhere")

    (finding,) = check_data_links(site(xrays=tmp_path / "xrays"), most=3)

    assert "3 links among the first 3 entries out of" in finding.detail
