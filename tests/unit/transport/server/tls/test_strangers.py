import pytest

from hanse.transport.server.tls.strangers import GRACE_S, Stranger, StrangerBudget, network_of


class Budget:
    """A budget with a clock that the test sets, and what it gave up."""

    def __init__(self, most: int = 4, most_of_one: int = 3) -> None:
        self.now = 0.0
        self.given_up: list[Stranger] = []
        self.budget = StrangerBudget(most, most_of_one, lambda: self.now)

    def take_in(self, network: str, *, silent: bool = False) -> Stranger | None:
        self.now += 0.01
        stranger = self.budget.take_in(network)
        if stranger is not None:
            stranger.silent = silent
            stranger.give_up = lambda: self.given_up.append(stranger)
        return stranger


def test_there_is_room_until_the_budget_is_full() -> None:
    there = Budget(most=2)

    there.take_in("a")
    there.take_in("b")

    assert len(there.budget) == 2
    assert not there.budget.has_room()


def test_who_has_left_makes_room() -> None:
    there = Budget(most=1)
    first = there.take_in("a")
    assert first is not None

    there.budget.remove(first)
    there.budget.remove(first)

    assert len(there.budget) == 0
    assert there.take_in("b") is not None
    assert there.given_up == []


def test_the_network_with_the_most_gives_up_its_oldest() -> None:
    there = Budget(most=4)
    lone = there.take_in("lone")
    oldest = there.take_in("flood")
    there.take_in("flood")
    there.take_in("flood")

    assert there.take_in("member") is not None

    assert there.given_up == [oldest]
    assert lone not in there.given_up


def test_who_has_sent_nothing_goes_before_who_is_older() -> None:
    there = Budget(most=3)
    there.take_in("flood")
    silent = there.take_in("flood", silent=True)
    there.take_in("flood")

    there.take_in("member")

    assert there.given_up == [silent]


def test_a_network_has_no_more_than_its_share_however_much_room_there_is() -> None:
    there = Budget(most=100, most_of_one=2)
    first = there.take_in("a", silent=True)
    there.take_in("a", silent=True)

    assert there.take_in("a") is not None

    assert len(there.budget) == 2
    assert there.given_up == [first]


def test_a_network_with_its_share_is_refused_while_its_own_have_just_begun() -> None:
    there = Budget(most=100, most_of_one=2)
    first = there.take_in("a")
    there.take_in("a")

    assert there.take_in("a") is None

    there.now += GRACE_S
    assert there.take_in("a") is not None
    assert there.given_up == [first]


def test_members_that_all_return_at_once_do_not_push_each_other_out() -> None:
    there = Budget(most=3)
    first = there.take_in("a")
    for network in ("b", "c"):
        there.take_in(network)

    assert not there.budget.has_room()
    assert there.take_in("d") is None

    there.now += GRACE_S
    assert there.budget.has_room()
    assert there.take_in("d") is not None
    assert there.given_up == [first]


def test_one_silent_connection_each_of_many_networks_holds_nobody_up() -> None:
    there = Budget(most=50)
    for number in range(1000):
        assert there.take_in(f"flood-{number}", silent=True) is not None

    assert there.take_in("member") is not None
    assert len(there.budget) == 50


def test_a_flood_from_many_networks_does_not_end_a_handshake_that_is_alone() -> None:
    there = Budget(most=9, most_of_one=3)
    for number in range(9):
        there.take_in(f"flood-{number % 3}")
    member = there.take_in("member")

    for number in range(300):
        there.take_in(f"flood-{number % 3}")

    assert member not in there.given_up


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_addresses_that_one_subscriber_has_are_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
