"""Sites by number, by name and by folder, and their data."""

from pathlib import Path

import pytest

from hanse.errors import ConfigError, MissingDataError
from hanse.simulation.sites import counted, in_folders, named, with_data


def names(sites: list) -> list[str]:
    return [site.name for site in sites]


def test_counted_sites_are_in_site_order() -> None:
    assert names(counted(2)) == ["site-1", "site-2"]
    assert names(counted(12)) == sorted(names(counted(12)))


def test_named_sites_are_in_site_order() -> None:
    assert names(named(["zurich", "budapest"])) == ["budapest", "zurich"]


@pytest.mark.parametrize("wrong", [["a", "a"], ["A"], [""], ["../a"]])
def test_names_that_are_no_sites_are_refused(wrong: list[str]) -> None:
    with pytest.raises(ConfigError):
        named(wrong)


def test_each_folder_is_a_site_and_its_data_root(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()

    sites = in_folders(tmp_path)

    assert [(site.name, site.data_root) for site in sites] == [("a", tmp_path / "a"), ("b", tmp_path / "b")]


@pytest.mark.parametrize("file", ["a.csv", None])
def test_a_folder_without_sites_is_refused(tmp_path: Path, file: str | None) -> None:
    if file:
        (tmp_path / "a").mkdir()
        (tmp_path / file).touch()

    with pytest.raises(ConfigError, match="should hold a folder for each site"):
        in_folders(tmp_path)


def test_the_name_of_the_site_is_put_into_paths(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").touch()
        (tmp_path / name).mkdir()

    a, b = with_data(named("ab"), [f"heart={tmp_path}/{{site}}.csv"], f"{tmp_path}/{{site}}")

    assert (a.data, a.data_root) == ({"heart": tmp_path / "a.csv"}, tmp_path / "a")
    assert (b.data, b.data_root) == ({"heart": tmp_path / "b.csv"}, tmp_path / "b")


def test_a_folders_own_data_root_stays_where_no_other_is_given(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    (a,) = with_data(in_folders(tmp_path), [])

    assert a.data_root == tmp_path / "a"


def test_data_that_is_not_there_names_the_site(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"b\.csv, which is to be data of site b"):
        with_data(named("b"), [f"heart={tmp_path}/{{site}}.csv"])


@pytest.mark.parametrize("sources", [["heart"], ["=x"], ["heart="], ["heart=.", "heart=."]])
def test_a_source_that_is_no_name_and_path_is_refused(sources: list[str]) -> None:
    with pytest.raises(ConfigError, match="NAME=PATH"):
        with_data(named("b"), sources)
