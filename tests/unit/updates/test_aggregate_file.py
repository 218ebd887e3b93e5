"""The file in which an aggregate reaches the workflow's process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.groups import Group
from hanse.core.values.update import Aggregate
from hanse.updates.aggregate_file import aggregate_file, has_arrays, opened_aggregate
from hanse.wire.tensors import decode, encode

_ARRAY = st.builds(np.full, st.integers(0, 3), st.integers(-5, 5))
_TABLE = st.dictionaries(st.sampled_from(["x", "y.z", "w-1"]), _ARRAY, min_size=1)
_GROUPS = st.dictionaries(st.sampled_from(["control", "counts", "edges"]), _ARRAY | _TABLE)
_DELTA = st.none() | st.dictionaries(st.sampled_from(["weight", "a/b", "bias"]), _ARRAY, min_size=1)


@given(delta=_DELTA, groups=_GROUPS, own=st.dictionaries(st.sampled_from(["a", "b-1"]), _GROUPS))
def test_it_comes_back_as_it_was(
    delta: Any, groups: dict[str, Group], own: dict[str, dict[str, Group]]
) -> None:
    each: dict[str, dict[str, Group]] = {}
    for site, values in own.items():
        for group, value in values.items():
            each.setdefault(group, {})[site] = value
    aggregate = Aggregate(5, {}, delta, ("a", "b-1"), groups, each)

    tensors = decode(encode(aggregate_file(aggregate)))
    bare = Aggregate(5, {}, None if delta is None else {}, ("a", "b-1"))
    found = opened_aggregate(bare, tensors, grouped=True)

    assert listed(found.delta) == listed(delta)
    assert listed(found.groups) == listed(groups)
    assert listed(found.each) == listed(each)
    assert has_arrays(aggregate) == bool(tensors)


def listed(value: Any) -> Any:
    """Arrays as lists, whatever they stand in."""
    return {name: listed(each) for name, each in value.items()} if hasattr(value, "items") else lists(value)


def lists(value: Any) -> Any:
    return None if value is None else np.asarray(value).tolist()


@pytest.mark.parametrize("delta", [None, {"@w": np.ones(2)}])
def test_without_groups_the_tensors_are_the_update_whatever_their_names(delta: Any) -> None:
    found = opened_aggregate(Aggregate(5, {}, delta, ("a",)), delta or {}, grouped=False)

    assert found.groups == {}
    assert listed(found.delta) == listed(delta)
