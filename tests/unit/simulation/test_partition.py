"""Dealing one data set out to virtual sites."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.canonical import sha256
from hanse.core.values.site import Indices
from hanse.errors import ConfigError
from hanse.simulation.partition import Dealer, Partition, empty_parts

Labels = npt.NDArray[np.generic]

EVEN, SKEWED = Partition(), Partition("dirichlet", 0.1)
PARTITIONS = [EVEN, SKEWED, Partition("dirichlet", 100.0), Partition("quantity", 0.5), Partition("shards", 2)]


def names(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def deal(partition: Partition, labels: list[int], count: int, seed: int = 0) -> list[list[int]]:
    return [partition.share(index, count, seed)(labels).tolist() for index in range(count)]


@given(
    partition=st.sampled_from(PARTITIONS),
    labels=st.lists(st.integers(0, 4), max_size=60),
    count=st.integers(1, 7),
    seed=st.integers(0, 2**53 - 1),
)
def test_every_example_goes_to_exactly_one_site(
    partition: Partition, labels: list[int], count: int, seed: int
) -> None:
    shares = deal(partition, labels, count, seed)

    assert sorted(index for share in shares for index in share) == list(range(len(labels)))
    assert all(share == sorted(share) for share in shares)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_examples_without_a_label_are_dealt_out_too(partition: Partition) -> None:
    labels = np.array([0.0, 1.0, np.nan, np.nan] * 20)

    shares = [partition.share(index, 3, 0)(labels) for index in range(3)]

    assert sorted(np.concatenate(shares)) == list(range(80))


def test_masked_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="labels are masked"):
        Partition().share(0, 2, 0)(np.ma.array([0, 1], mask=[0, 1]))


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_data_set_is_dealt_once_for_all_sites(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt, deal_out = [], Partition.owners

    def owners(self: Partition, labels: Labels, names: Sequence[str], seed: int) -> Indices:
        dealt.append(len(labels))
        return deal_out(self, labels, names, seed)

    monkeypatch.setattr(Partition, "owners", owners)
    dealer, train, test = Dealer(partition, names(50), 1), np.arange(600) % 3, np.arange(90) % 3

    for index in range(50):
        share = dealer.share(index)
        assert (share(train) == partition.share(index, 50, 1)(train)).all()
        assert (share(test.copy()) == partition.share(index, 50, 1)(test)).all()

    assert len(dealt) == 2 + 2 * 50  # by the dealer, and anew for each comparison


def test_labels_that_were_changed_in_place_are_dealt_anew() -> None:
    dealer, labels = Dealer(SKEWED, names(3), 1), np.arange(60) % 3
    dealer.share(0)(labels)
    labels[:] = 0

    assert dealer.share(1)(labels).tolist() == SKEWED.share(1, 3, 1)([0] * 60).tolist()


def test_a_share_that_a_site_changes_is_that_of_no_other() -> None:
    dealer, labels = Dealer(EVEN, names(2), 1), [0] * 10
    before = dealer.share(0)(labels)
    before[:] = 99

    assert dealer.share(0)(labels).max() < 10


@pytest.mark.parametrize(
    ("partition", "digest"),
    [
        (Partition(), "5b2b6e06bfc00186ce3bea7b733da3c72cc97a44a4af2b999d2c5790badae10e"),
        (SKEWED, "5383e7df9105796d64c99985bdb5984cf714eb5745eaa49c88e017a091d8ca66"),
        (Partition("dirichlet", 100.0), "35d5fd4466cee27bc8234c0171621c270e08057333ff315204622575d6e8d8ee"),
    ],
)
def test_who_gets_what_stays_from_version_to_version(partition: Partition, digest: str) -> None:
    owners = partition.owners(np.arange(1000) % 7, names(13), 5)

    assert sha256(owners.astype("<i8").tobytes()) == digest


def test_iid_parts_are_equal_up_to_one_example() -> None:
    sizes = [len(share) for share in deal(Partition(), [0] * 10, 4)]

    assert sorted(sizes) == [2, 2, 3, 3]


def test_a_small_alpha_gives_sites_fewer_labels_than_a_large_one() -> None:
    labels = np.repeat(np.arange(10), 100)

    def labels_a_site(alpha: float) -> float:
        shares = deal(Partition("dirichlet", alpha), labels.tolist(), 5)
        return sum(len(set(labels[share])) for share in shares) / 5

    assert labels_a_site(0.05) < 5 < labels_a_site(100.0)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_seed_decides_who_gets_what(partition: Partition) -> None:
    labels = [0, 1] * 50

    assert deal(partition, labels, 4, seed=1) == deal(partition, labels, 4, seed=1)
    assert deal(partition, labels, 4, seed=1) != deal(partition, labels, 4, seed=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iid", Partition()),
        ("dirichlet:0.3", Partition("dirichlet", 0.3)),
        ("dirichlet:5", Partition("dirichlet", 5)),
        ("quantity:0.5", Partition("quantity", 0.5)),
        ("shards:2", Partition("shards", 2)),
        ("column:city", Partition("column", "city")),
    ],
)
def test_a_partition_is_read_from_its_text(text: str, expected: Partition) -> None:
    assert Partition.parse(text) == expected
    assert Partition.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dirichlet",
        "dirichlet:0",
        "dirichlet:nan",
        "dirichlet:-1",
        "IID",
        "iid:1",
        "shards:0",
        "shards:1.5",
        "quantity",
        "column:",
    ],
)
def test_a_text_that_is_no_partition_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Write iid, dirichlet:ALPHA, .* column:NAME"):
        Partition.parse(text)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(examples,\)"):
        Partition().share(0, 2, 0)(np.zeros((3, 2)))


def test_shards_give_each_site_few_labels() -> None:
    labels = np.repeat(np.arange(10), 60).tolist()

    shares = deal(Partition("shards", 2), labels, 10)

    assert {len(share) for share in shares} == {60}
    assert max(len({labels[index] for index in share}) for share in shares) <= 3


def test_a_small_alpha_of_quantity_gives_sizes_that_differ_and_labels_that_do_not() -> None:
    labels = np.arange(5000) % 5

    shares = deal(Partition("quantity", 0.3), labels.tolist(), 5)

    sizes = sorted(len(share) for share in shares)
    assert sizes[0] * 3 < sizes[-1]
    largest = max(shares, key=len)
    assert np.allclose(np.bincount(labels[largest]) / len(largest), 0.2, atol=0.05)


CITIES = np.array(["rome", "oslo", "rome", "bern", "oslo", "rome"])


def by_city(sites: list[str], column: Labels = CITIES) -> list[list[int]]:
    dealer = Dealer(Partition("column", "city"), sites, 0)
    table = {"city": column, "age": np.arange(len(column))}
    labels = np.zeros(len(column))
    return [dealer.share(index)(labels, table).tolist() for index in range(len(sites))]


def test_a_column_gives_each_value_to_the_site_of_its_name() -> None:
    assert by_city(["bern", "oslo", "paris", "rome"]) == [[3], [1, 4], [], [0, 2, 5]]


def test_a_column_gives_the_values_in_their_order_where_sites_have_other_names() -> None:
    assert by_city(["site-1", "site-2", "site-3"]) == [[3], [1, 4], [0, 2, 5]]


def test_a_value_that_no_site_is_named_after_goes_to_a_site_without_a_value_of_its_name() -> None:
    assert by_city(["oslo", "rome", "zurich"]) == [[1, 4], [0, 2, 5], [3]]
    assert by_city(["oslo", "rome"]) == [[1, 3, 4], [0, 2, 5]]


def test_more_values_than_sites_fill_the_sites_evenly() -> None:
    assert by_city(["site-1", "site-2"]) == [[0, 2, 5], [1, 3, 4]]


@pytest.mark.parametrize(
    "table",
    [
        np.array([("rome", 1), ("oslo", 2)], dtype=[("city", "U4"), ("age", "i4")]),
        {"city": np.array(["rome", 3], dtype=object)},
    ],
    ids=["structured", "objects"],
)
def test_a_column_is_read_from_whatever_has_columns_by_name(table: object) -> None:
    dealer = Dealer(Partition("column", "city"), names(2), 0)

    parts = [dealer.share(index)([0, 0], table).tolist() for index in range(2)]

    assert sorted(parts) == [[0], [1]]


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        (None, ConfigError, r"Write site\.share\(labels, table\)"),
        ({"age": [1, 2]}, ConfigError, "no column 'city'; it has: age"),
        (np.zeros((2, 2)), ConfigError, "no column 'city'; it has: none that can be read by name"),
        ({"city": ["rome"]}, ValueError, r"the column 'city' has shape \(1,\), and the labels \(2,\)"),
        ({"city": [1.0, np.nan]}, ValueError, "1 examples have no value in the column 'city'"),
    ],
)
def test_a_column_that_cannot_be_dealt_by_is_refused(
    table: object, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        Dealer(Partition("column", "city"), names(2), 0).share(0)([0, 1], table)


def test_sites_without_an_example_are_known_as_soon_as_a_data_set_is_dealt() -> None:
    sizes: list[Sequence[int]] = []

    Dealer(EVEN, names(3), 0, sizes.append).share(0)([0, 1])

    assert empty_parts(["a", "b", "c"], sizes[0]) == ("c",)
