"""Records of version 0.1 are read as the events that have their meaning now."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hanse.core.run.events import Event, event_body, read_event
from hanse.core.run.renamed_events import with_present_names
from hanse.core.run.round_events import ExchangeClosed, RoundOpened
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived

SITE = {"site": "b", "round_number": 3, "reason": "it failed in round 3, train: no memory"}
OPENED = {"cohort": ["a", "c"], "population": ["a", "b", "c"], "round_number": 4}
CLOSED = {
    "answered": ["a", "c"],
    "cause": "all",
    "data": {"answered": 11, "missing": 6, "tolerated": 0.1, "unknown": []},
    "exchange": 8,
    "failed": [],
    "idle": [],
    "missing": [],
}


@pytest.mark.parametrize(
    ("kind", "body", "event"),
    [
        ("SiteSetAside", SITE, SiteSuspended(site="b", round_number=3, reason=SITE["reason"])),
        ("SiteKept", SITE, SuspensionWaived(site="b", round_number=3, reason=SITE["reason"])),
        (
            "SiteTakenBack",
            {"site": "b", "by": "op", "reason": "taken back by an operator"},
            SiteReinstated(site="b", by="op", reason="taken back by an operator"),
        ),
    ],
)
def test_a_kind_of_event_is_read_by_its_name_of_0_1(kind: str, body: dict[str, Any], event: Event) -> None:
    assert read_event(kind, body) == event


@pytest.mark.parametrize(("kind", "body"), [("RoundOpened", OPENED), ("ExchangeClosed", CLOSED)])
def test_the_suspended_sites_of_a_round_are_read_by_their_name_of_0_1(
    kind: str, body: dict[str, Any]
) -> None:
    event = read_event(kind, body | {"set_aside": ["b"]})

    assert event == read_event(kind, body | {"suspended": ["b"]})
    assert isinstance(event, RoundOpened | ExchangeClosed)
    assert event.suspended == ("b",)


def test_an_event_is_written_by_its_present_names_alone() -> None:
    event = read_event("RoundOpened", OPENED | {"set_aside": ["b"]})

    assert event_body(event) == OPENED | {"suspended": ["b"]}


@pytest.mark.parametrize(("kind", "body"), [("RoundOpened", OPENED), ("ExchangeClosed", CLOSED)])
@pytest.mark.parametrize("other", [["b"], [], ["c"]])
def test_a_record_that_names_the_suspended_sites_by_both_names_is_no_event(
    kind: str, body: dict[str, Any], other: list[str]
) -> None:
    with pytest.raises(ValueError, match="has both set_aside and suspended"):
        read_event(kind, body | {"set_aside": ["b"], "suspended": other})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("SiteSetaside", SITE),
        ("set_aside", SITE),
        ("", SITE),
        ("Site\u0000SetAside", SITE),
        ("SiteSetAside", SITE | {"set_aside": ["b"]}),
        ("SiteSuspended", SITE | {"set_aside": ["b"]}),
        ("SiteKept", {}),
        ("RoundOpened", OPENED | {"set_aside": None}),
        ("RoundOpened", OPENED | {"set_aside": "b"}),
        ("RoundOpened", OPENED | {"suspended ": ["b"]}),
        ("RoundOpened", OPENED | {"Set_aside": ["b"]}),
    ],
)
def test_a_record_that_no_version_wrote_is_no_event(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_event(kind, body)


@pytest.mark.parametrize("inner", ["RunFailed", "SiteSetAside", "SiteSuspended", None])
def test_a_body_does_not_say_what_kind_of_event_its_record_is(inner: str | None) -> None:
    with pytest.raises(ValueError, match="SiteSetAside states a kind in its body"):
        read_event("SiteSetAside", SITE | {"kind": inner})


def test_the_record_itself_is_left_as_it_was_written() -> None:
    body = OPENED | {"set_aside": ["b"]}

    with_present_names("RoundOpened", body)

    assert body == OPENED | {"set_aside": ["b"]}


def test_every_kind_that_is_written_keeps_its_name() -> None:
    kinds = [kind for kind in _kinds(TypeAdapter(Event).json_schema()) if kind]

    assert len(kinds) == 34
    assert [with_present_names(kind, {})[0] for kind in kinds] == kinds


def _kinds(schema: dict[str, Any]) -> list[str]:
    return [
        found["properties"]["kind"]["const"]
        for found in schema["$defs"].values()
        if "const" in found.get("properties", {}).get("kind", {})
    ]
