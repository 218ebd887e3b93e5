"""Immutable maps and sets that iterate in the order of their keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.sorted_map import SortedMap, SortedSet

KEYS = st.text("abc", max_size=3)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=30)


@given(CHANGES)
def test_a_map_holds_what_a_dictionary_would_in_the_order_of_its_keys(
    changes: list[tuple[str, int | None]],
) -> None:
    changed, expected = SortedMap[str, int](), dict[str, int]()
    for key, value in changes:
        if value is None:
            changed = changed.without(key)
            expected.pop(key, None)
        else:
            changed = changed.set(key, value)
            expected[key] = value
        assert list(changed.items()) == sorted(expected.items())
        assert (changed.get(key), key in changed, len(changed)) == (
            expected.get(key),
            value is not None,
            len(expected),
        )


@given(st.dictionaries(KEYS, st.integers()), st.dictionaries(KEYS, st.integers()))
def test_an_update_gives_what_a_dictionary_would(first: dict[str, int], second: dict[str, int]) -> None:
    assert SortedMap(first).update(second) == {**first, **second}


def test_a_change_leaves_the_map_as_it_was() -> None:
    before = SortedMap({"b": 1, "a": 2})
    list(before)

    after = before.set("c", 3).without("a").update({"b": 4})

    assert (before, after) == ({"a": 2, "b": 1}, {"b": 4, "c": 3})


def test_a_key_that_is_not_there_has_no_value() -> None:
    with pytest.raises(KeyError):
        SortedMap({"a": 1})["b"]
    assert SortedMap({"a": 1}).get("b", 7) == 7


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=30))
def test_a_set_holds_what_a_set_of_python_would_in_order(changes: list[tuple[str, bool]]) -> None:
    changed, expected = SortedSet[str](), set[str]()
    for element, there in changes:
        changed = changed.including(element) if there else changed.without(element)
        expected = expected | {element} if there else expected - {element}
        assert changed.in_order() == tuple(sorted(expected))
        assert (element in changed, len(changed)) == (there, len(expected))


def test_sets_of_the_same_elements_are_equal_and_have_one_hash() -> None:
    assert SortedSet("ab") == SortedSet("ba") == {"a", "b"}
    assert hash(SortedSet("ab")) == hash(SortedSet("ba"))


def test_a_set_that_does_not_change_stays_the_same_value() -> None:
    there = SortedSet("ab")

    assert there.including("a") is there
    assert there.without("c") is there
