"""Sites dealt into cells by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.plan.privacy.dealing import deal
from hanse.errors import PlanError


def names(count: int) -> list[str]:
    return [f"site-{number:04}" for number in range(count)]


@pytest.mark.parametrize("count", [3, 12, 20])
def test_up_to_20_sites_are_one_cell(count: int) -> None:
    assert deal(reversed(names(count)), 3) == {"all": tuple(names(count))}


def test_more_are_dealt_into_cells_of_about_12() -> None:
    cells = deal(names(100), 3)
    assert list(cells)[:2] == ["cell-1", "cell-2"]
    assert sorted(map(len, cells.values())) == [12] * 4 + [13] * 4
    assert cells["cell-1"] == tuple(names(12))


def test_a_stated_size_deals_few_sites_too() -> None:
    assert [len(members) for members in deal(names(12), 3, 4).values()] == [4, 4, 4]


def test_fewer_sites_than_a_cell_needs_are_refused() -> None:
    with pytest.raises(PlanError, match="2 sites are fewer than a cell needs, 3"):
        deal(names(2), 3)


@given(st.integers(3, 300), st.integers(3, 20), st.none() | st.integers(3, 64))
def test_each_site_is_in_one_cell_of_a_possible_size(count: int, least: int, size: int | None) -> None:
    sites = names(max(count, least))
    cells = deal(sites, least, size)
    assert sorted(site for members in cells.values() for site in members) == sites
    assert all(least <= len(members) <= 64 for members in cells.values())
    assert max(map(len, cells.values())) - min(map(len, cells.values())) <= 1
    assert list(cells) == sorted(cells)
