"""Sites from what a session of Python gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.errors import ConfigError, MissingDataError
from hanse.interactive.sites import dealing, places
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import VirtualSite


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder with folders of two sites, each with a file of data."""
    for name in ("oslo", "rome"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "heart.csv").write_text(name, "utf-8")
    return tmp_path


def data(sites: list[VirtualSite]) -> dict[str, Any]:
    return {site.name: dict(site.data) for site in sites}


def test_sites_are_in_site_order() -> None:
    assert [site.name for site in places({"b": 1, "a": 2}, None)] == ["a", "b"]


def test_what_has_no_name_of_its_own_is_named_as_the_plans_only_data_source() -> None:
    assert data(places({"a": 1}, ["step"])) == {"a": {"step": 1}}
    assert data(places({"a": 1}, None)) == {"a": {"data": 1}}


def test_text_in_a_dictionary_of_data_sources_is_a_path(folders: Path) -> None:
    sites = {"a": {"heart": str(folders / "oslo" / "heart.csv"), "step": 3}}

    assert data(places(sites, None)) == {"a": {"heart": folders / "oslo" / "heart.csv", "step": 3}}


def test_a_folder_of_a_site_is_looked_through_for_what_the_plan_names(folders: Path) -> None:
    found = places({"oslo": folders / "oslo"}, ["heart"])

    assert data(found) == {"oslo": {"heart": folders / "oslo" / "heart.csv"}}
    assert found[0].data_root == folders / "oslo"


def test_a_path_stands_for_a_folder_of_folders(folders: Path) -> None:
    assert list(data(places(folders, ["heart"]))) == ["oslo", "rome"]


def test_a_number_stands_for_sites_that_share_one_data_set() -> None:
    assert [site.name for site in places(2, ())] == ["site-1", "site-2"]
    assert dealing(None, 2) == Partition()
    assert dealing(None, {"a": 1}) is None


def test_a_number_of_numpy_is_a_number_of_sites() -> None:
    assert places(np.int64(3), None) == places(3, None)
    assert dealing(None, np.int64(3)) == Partition()


@pytest.mark.parametrize(
    ("sites", "wanted", "message"),
    [
        ({}, None, "no site is given"),
        ({1: 2}, None, "the name 1 of a site is not text"),
        ({"A b": 2}, None, "A b"),
        ({"a": {1: 2}}, None, "has the key 1, which is not the name of a data source"),
        ({"a": 1}, ["x", "y"], "the plan's data sources are: x, y"),
        ({"a": 1}, [], "the plan's data sources are: none"),
        ({"a": {"x": 1}}, [], "site a has a data source 'x'; the plan names: none"),
        ([1], None, "sites are given as a list"),
        (0, None, "0 is not a number of sites"),
        (True, None, "True is not a number of sites"),
        ("a\0b", None, "sites: .* has a NUL character"),
        ({"a": "a\0b"}, None, "data of site a: .* has a NUL character"),
    ],
)
def test_sites_that_are_not_what_they_should_be_are_refused(
    sites: Any, wanted: list[str] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        places(sites, wanted)


@pytest.mark.parametrize(("wanted", "whose"), [(None, "site a has"), (["x"], "the plan names")])
def test_a_site_that_lacks_a_data_source_is_refused(wanted: list[str] | None, whose: str) -> None:
    with pytest.raises(MissingDataError, match=f"site b has no data source 'x', which {whose}"):
        places({"a": {"x": 1}, "b": {}}, wanted)
