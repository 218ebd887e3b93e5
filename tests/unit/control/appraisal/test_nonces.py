"""A nonce counts once, for two minutes, and a party has four of them at most."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from hanse.control.appraisal.nonces import Nonces
from hanse.core.values.canonical import sha256
from hanse.errors import EvidenceError


def numbers() -> Callable[[int], bytes]:
    found = count()
    return lambda size: next(found).to_bytes(size, "big")


def nonces(clock_ms: Callable[[], int] = lambda: 0) -> Nonces[str]:
    return Nonces(clock_ms, numbers())


def issued(from_: Nonces[str], party: str = "a", head: str = "0" * 64) -> str:
    return from_.issue(party, head, str)


def test_a_nonce_is_made_of_fresh_bytes_and_the_head_of_the_journal() -> None:
    assert issued(nonces()) == sha256(bytes(32) + b"0" * 64)


def test_a_nonce_gives_back_what_it_was_bound_to() -> None:
    given = nonces()
    nonce = ""

    def bind(fresh: str) -> str:
        nonlocal nonce
        nonce = fresh
        return "the first run"

    given.issue("a", "", bind)

    assert given.take("a", nonce) == "the first run"


def test_a_nonce_counts_once() -> None:
    given = nonces()
    nonce = issued(given)
    given.take("a", nonce)

    with pytest.raises(EvidenceError, match="presented before"):
        given.take("a", nonce)


def test_a_nonce_of_another_party_does_not_count_and_stays() -> None:
    given = nonces()
    nonce = issued(given)

    with pytest.raises(EvidenceError, match="was not given to b"):
        given.take("b", nonce)
    assert given.take("a", nonce) == nonce


@pytest.mark.parametrize(("later_ms", "counts"), [(120_000, True), (120_001, False)])
def test_a_nonce_counts_for_two_minutes(later_ms: int, counts: bool) -> None:
    now = [0]
    given = nonces(lambda: now[0])
    nonce = issued(given)
    now[0] = later_ms

    if counts:
        assert given.take("a", nonce) == nonce
    else:
        with pytest.raises(EvidenceError, match="older than 120 s"):
            given.take("a", nonce)


def test_a_fifth_nonce_takes_the_place_of_the_first() -> None:
    given = nonces()
    first, *others = (issued(given) for _ in range(5))

    with pytest.raises(EvidenceError):
        given.take("a", first)
    assert [given.take("a", nonce) for nonce in others] == others


def test_nonces_that_nobody_shows_are_forgotten() -> None:
    now = [0]
    given = nonces(lambda: now[0])
    for number in range(100):
        issued(given, f"site-{number}")
    now[0] = 120_001
    issued(given)

    assert list(given._given) == ["a"]
