"""Which version two ends speak, and what they say where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from hanse.core.values.schema import Strict
from hanse.wire.messages.basics import ErrorReply, decode
from hanse.wire.protocol import (
    SPOKEN,
    Versions,
    disagreement,
    headers,
    read_headers,
    since,
    written_in,
)

versions = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: Versions(*sorted(pair)))


class Part(Strict):
    size: int
    colour: str = Field("", json_schema_extra=since(3))


class Whole(Strict):
    name: str
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = Field(default_factory=dict)
    first: Part | None = None
    weight: float = Field(0.0, description="in kg", json_schema_extra=since(2))


WHOLE = Whole(
    name="a",
    parts=(Part(size=1, colour="red"),),
    by_name={"b": Part(size=2, colour="blue")},
    first=Part(size=3),
    weight=5.0,
)


@given(versions, versions)
def test_two_ends_agree_on_the_newest_version_that_both_speak(one: Versions, other: Versions) -> None:
    common = one.common(other)

    both = [version for version in range(10) if version in one and version in other]
    assert common == other.common(one) == (max(both) if both else None)


@given(versions, st.integers(0, 9))
def test_what_is_stated_is_read_as_such(spoken: Versions, version: int) -> None:
    assert read_headers(headers(version, spoken)) == (version, spoken)


def test_who_states_no_range_speaks_that_version_alone() -> None:
    assert read_headers({"Hanse-Protocol": "4"}) == (4, Versions(4, 4))


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"Hanse-Protocols": "1-2"},
        {"Hanse-Protocol": "1-2"},
        {"Hanse-Protocol": ""},
        {"Hanse-Protocol": "-1"},
        {"Hanse-Protocol": "1, 1"},
        {"Hanse-Protocol": "\u0661"},
        {"Hanse-Protocol": "9" * 5_000},
        {"Hanse-Protocol": "1", "Hanse-Protocols": "1-2-3"},
        {"Hanse-Protocol": "1", "Hanse-Protocols": "9" * 5_000},
    ],
)
def test_what_cannot_be_read_is_nothing(stated: dict[str, str]) -> None:
    assert read_headers(stated) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "who", "needed"),
    [
        (Versions(1, 2), Versions(3, 5), "we", 3),
        (Versions(3, 5), Versions(1, 2), "they", 3),
        (Versions(2, 2), Versions(1, 1), "they", 2),
    ],
)
def test_the_older_end_is_the_one_to_upgrade(ours: Versions, theirs: Versions, who: str, needed: int) -> None:
    error = disagreement(ours, theirs, "we", "they")

    assert str(error) == (
        f"they speaks protocol {theirs}, and we {ours}. Upgrade Hanse at {who} to a version that speaks "
        f"protocol {needed}. Nothing is lost meanwhile."
    )


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, {"name": "a", "parts": [{"size": 1}], "by_name": {"b": {"size": 2}}, "first": {"size": 3}}),
        (
            2,
            {
                "name": "a",
                "parts": [{"size": 1}],
                "by_name": {"b": {"size": 2}},
                "first": {"size": 3},
                "weight": 5.0,
            },
        ),
        (3, WHOLE.model_dump(mode="json")),
    ],
)
def test_an_older_version_is_spared_the_fields_that_it_lacks(version: int, expected: dict[str, Any]) -> None:
    assert written_in(WHOLE, version) == expected


def test_what_an_older_version_does_not_say_has_its_default() -> None:
    message = decode(Whole, b'{"name":"a","parts":[{"size":1}]}')

    assert (message.weight, message.parts[0].colour) == (0.0, "")


def test_every_newer_field_of_a_message_has_a_default() -> None:
    def kinds(kind: type[Strict]) -> list[type[Strict]]:
        return [kind, *(found for child in kind.__subclasses__() for found in kinds(child))]

    ours = [kind for kind in kinds(Strict) if kind.__module__.startswith("hanse.")]
    assert ErrorReply in ours
    for kind in ours:
        for name, field in kind.model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and "since_protocol" in extra:
                assert not field.is_required(), f"{kind.__name__}.{name}"
                assert extra["since_protocol"] in SPOKEN, f"{kind.__name__}.{name}"
