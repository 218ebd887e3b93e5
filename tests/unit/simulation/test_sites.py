"""Sites by number, by name and by folder, and their data."""

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.errors import ConfigError, MissingDataError
from hanse.simulation.sites import completed, counted, in_folders, named, with_data


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


@pytest.mark.parametrize("sources", [["=x"], ["heart="], ["heart=.", "heart=."]])
def test_a_source_that_is_no_name_and_path_is_refused(sources: list[str]) -> None:
    with pytest.raises(ConfigError, match="NAME=PATH"):
        with_data(named("b"), sources)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two sites with a file each, and one site with a second file."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "heart.csv").touch()
    (tmp_path / "b" / "ct").mkdir()
    return tmp_path


def test_a_path_in_each_sites_folder_is_not_given_twice(folders: Path) -> None:
    sites = with_data(in_folders(folders), ["heart=heart.csv"])

    assert [site.data["heart"] for site in sites] == [folders / name / "heart.csv" for name in "ab"]


def test_a_path_that_only_some_folders_have_is_not_taken_from_elsewhere(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders / "b")

    with pytest.raises(MissingDataError, match=r"a/ct, which is to be data of site a"):
        with_data(in_folders(folders), ["ct=ct"])


def test_a_path_that_no_folder_has_is_one_in_the_current_folder(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)

    sites = with_data(in_folders(folders), ["heart={site}/heart.csv"])

    assert [site.data["heart"] for site in sites] == [folders / name / "heart.csv" for name in "ab"]


def test_a_source_is_found_by_its_name_in_each_folder(folders: Path) -> None:
    expected = [{"heart": folders / name / "heart.csv"} for name in "ab"]

    assert [site.data for site in completed(in_folders(folders), ["heart"])] == expected
    assert [site.data for site in with_data(in_folders(folders), ["heart"])] == expected


def test_the_only_source_is_the_folder_where_no_folder_has_its_name(folders: Path) -> None:
    sites = completed(in_folders(folders), ["xrays"])

    assert [site.data["xrays"] for site in sites] == [folders / "a", folders / "b"]


def test_of_several_sources_each_has_to_be_in_the_folder(folders: Path) -> None:
    with pytest.raises(MissingDataError, match=r"the data root of site a, has no 'ct'. Add --data ct=PATH"):
        completed(in_folders(folders), ["heart", "ct"])


def test_a_source_that_could_be_several_files_is_refused(folders: Path) -> None:
    (folders / "a" / "heart.txt").touch()

    with pytest.raises(MissingDataError, match=r"several of the name 'heart': heart\.csv, heart\.txt"):
        completed(in_folders(folders), ["heart"])


def test_a_source_that_is_given_is_left_alone(folders: Path) -> None:
    sites = [replace(site, data={"heart": Path("/given")}) for site in in_folders(folders)]

    assert completed(sites, ["heart"]) == sites


def test_a_source_without_a_path_needs_a_data_root() -> None:
    with pytest.raises(ConfigError, match="Write heart=PATH, or add --site-data DIR"):
        with_data(named("ab"), ["heart"])
