"""Dealing one data set out to virtual sites."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import ConfigError
from hanse.simulation.partition import Partition

PARTITIONS = [Partition(), Partition(0.1), Partition(100.0)]


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


def test_iid_parts_are_equal_up_to_one_example() -> None:
    sizes = [len(share) for share in deal(Partition(), [0] * 10, 4)]

    assert sorted(sizes) == [2, 2, 3, 3]


def test_a_small_alpha_gives_sites_fewer_labels_than_a_large_one() -> None:
    labels = np.repeat(np.arange(10), 100)

    def labels_a_site(alpha: float) -> float:
        shares = deal(Partition(alpha), labels.tolist(), 5)
        return sum(len(set(labels[share])) for share in shares) / 5

    assert labels_a_site(0.05) < 5 < labels_a_site(100.0)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_seed_decides_who_gets_what(partition: Partition) -> None:
    labels = [0, 1] * 50

    assert deal(partition, labels, 4, seed=1) == deal(partition, labels, 4, seed=1)
    assert deal(partition, labels, 4, seed=1) != deal(partition, labels, 4, seed=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("iid", Partition()), ("dirichlet:0.3", Partition(0.3)), ("dirichlet:5", Partition(5))],
)
def test_a_partition_is_read_from_its_text(text: str, expected: Partition) -> None:
    assert Partition.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "dirichlet", "dirichlet:0", "dirichlet:nan", "dirichlet:-1", "IID", "iid:1"]
)
def test_a_text_that_is_no_partition_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Write `iid`, or `dirichlet:ALPHA`"):
        Partition.parse(text)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(examples,\)"):
        Partition().share(0, 2, 0)(np.zeros((3, 2)))
