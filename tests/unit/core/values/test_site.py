"""What plan code may know about the place it runs in."""

from pathlib import Path

import numpy as np
import pytest

from hanse.core.values.site import DataSources, Site
from hanse.errors import MissingDataError

DATA = DataSources("cleveland", {"xrays": Path("/data/xrays"), "ct": Path("/data/ct")})


def test_a_data_source_is_found_by_its_name() -> None:
    assert DATA["xrays"] == Path("/data/xrays")
    assert dict(DATA) == {"xrays": Path("/data/xrays"), "ct": Path("/data/ct")}


def test_a_data_source_that_is_missing_says_which_there_are_and_how_to_add_it() -> None:
    expected = r"site cleveland has no data source named 'mri'; it has: ct, xrays\. Name it .* in site.yaml"
    with pytest.raises(MissingDataError, match=expected):
        DATA["mri"]


def test_a_data_source_that_is_missing_in_a_simulation_says_what_to_do_there() -> None:
    with pytest.raises(MissingDataError, match="give it with `--data NAME=PATH`"):
        DataSources("site-1", {}, "give it with `--data NAME=PATH`")["mri"]


def test_a_site_without_data_says_so() -> None:
    with pytest.raises(MissingDataError, match="it has: none"):
        DataSources("cleveland", {})["mri"]


def test_in_a_deployment_every_example_is_the_sites_own() -> None:
    assert Site("cleveland", DATA).share(["ill", "well", "ill"]).tolist() == [0, 1, 2]


def test_in_a_simulation_the_partition_decides() -> None:
    every_other = Site("site-1", DATA, partition=lambda labels: np.arange(0, len(np.asarray(labels)), 2))

    assert every_other.share(["a", "b", "c"]).tolist() == [0, 2]


def test_a_partition_that_asks_for_columns_gets_the_table() -> None:
    of_city = Site("site-1", DATA, partition=lambda labels, table: np.flatnonzero(table["city"] == "rome"))

    assert of_city.share([0, 1, 0], {"city": np.array(["rome", "oslo", "rome"])}).tolist() == [0, 2]
    assert Site("cleveland", DATA).share([0, 1, 0], {"city": []}).tolist() == [0, 1, 2]


def test_data_sources_show_what_they_are() -> None:
    sources = DataSources("a", {"xrays": Path("/srv/xrays")})

    assert repr(sources) == "DataSources({'xrays': '/srv/xrays'})"


def test_a_data_source_that_is_an_object_is_no_data_root_and_shows_its_kind() -> None:
    site = Site("a", DataSources("a", {"table": {"age": [57]}}))

    assert site.data["table"] == {"age": [57]}
    assert site.data_root is None
    assert repr(site.data) == "DataSources({'table': 'dict'})"
