"""Peers put into a site's settings and taken out: nothing else in the file changes."""

from __future__ import annotations

import hashlib
from textwrap import dedent

import pytest

from hanse.collaborator.peers.entry import with_peer, without_peer
from hanse.config.dialect import parse
from hanse.config.settings import SiteSettings, settings_yaml
from hanse.errors import ConfigError

KEY = hashlib.sha256(b"b").hexdigest()
OTHER = hashlib.sha256(b"c").hexdigest()


def peers_in(text: str) -> object:
    return parse(text).value["secure_aggregation"]["peers"]


def test_in_a_new_site_yaml_the_line_that_shows_the_default_is_replaced() -> None:
    before = settings_yaml(SiteSettings(name="a", federation="north", aggregator="https://localhost:1"))

    after = with_peer(before, "b", KEY)

    assert after == before.replace("  # peers: {}\n", f"  peers:\n    b: {KEY}\n")
    assert without_peer(after, "b") == before.replace("  # peers: {}", "  peers: {}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: a\n", f"name: a\n\nsecure_aggregation:\n  peers:\n    b: {KEY}\n"),
        ("name: a", f"name: a\n\nsecure_aggregation:\n  peers:\n    b: {KEY}\n"),
        ("name: a\r\n", f"name: a\r\n\r\nsecure_aggregation:\r\n  peers:\r\n    b: {KEY}\r\n"),
        ('{"name": "a"}\n', f'{{"name": "a", secure_aggregation: {{peers: {{b: {KEY}}}}}}}\n'),
        ("secure_aggregation:", f"secure_aggregation:\n  peers:\n    b: {KEY}\n"),
        (
            "secure_aggregation: null  # yet\nname: a\n",
            f"secure_aggregation:  # yet\n  peers:\n    b: {KEY}\nname: a\n",
        ),
        ("secure_aggregation: {}\nname: a\n", f"secure_aggregation: {{peers: {{b: {KEY}}}}}\nname: a\n"),
        (
            "secure_aggregation: {minimum: 4}  # as agreed\n",
            f"secure_aggregation: {{minimum: 4, peers: {{b: {KEY}}}}}  # as agreed\n",
        ),
        (
            "secure_aggregation:\n    minimum: 4  # as agreed\n# the end\n",
            f"secure_aggregation:\n    peers:\n      b: {KEY}\n    minimum: 4  # as agreed\n# the end\n",
        ),
        (
            f"secure_aggregation:\n  peers: {{c: {OTHER}}}  # Ann, in May\n",
            f"secure_aggregation:\n  peers: {{c: {OTHER}, b: {KEY}}}  # Ann, in May\n",
        ),
        (
            f"secure_aggregation:\n  peers:\n      c: {OTHER}  # Ann, in May\n\n# data\ndata: {{}}\n",
            f"secure_aggregation:\n  peers:\n      c: {OTHER}  # Ann, in May\n      b: {KEY}\n\n"
            "# data\ndata: {}\n",
        ),
        (
            f"secure_aggregation:\n  peers:\n    c: {OTHER}",
            f"secure_aggregation:\n  peers:\n    c: {OTHER}\n    b: {KEY}\n",
        ),
        (
            f"secure_aggregation:\n  peers:\n    b: '{OTHER}'  # Ann\n    c: {OTHER}\n",
            f"secure_aggregation:\n  peers:\n    b: {KEY}  # Ann\n    c: {OTHER}\n",
        ),
        (
            f"secure_aggregation:\n  peers:\n    b: abandon ability\n      able\n    c: {OTHER}\n",
            f"secure_aggregation:\n  peers:\n    b: {KEY}\n    c: {OTHER}\n",
        ),
    ],
)
def test_a_peer_is_added_or_replaced_and_the_rest_stays_byte_for_byte(before: str, after: str) -> None:
    assert with_peer(before, "b", KEY) == after


@pytest.mark.parametrize("key", ["1" * 64, "1" * 31 + "e" + "5" * 32])
@pytest.mark.parametrize("name", ["1", "null", "true", "1e5"])
def test_names_and_keys_that_look_like_numbers_stay_text(name: str, key: str) -> None:
    for before in ("x: 1\n", f"secure_aggregation: {{peers: {{'{name}': {OTHER}}}}}\n"):
        assert peers_in(with_peer(before, name, key)) == {name: key}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("peers: {b: x y}", "peers: {}"),
        ("peers: {b: x y, c: z z}  # Ann", "peers: {c: z z}  # Ann"),
        ("peers: {c: z z, b: x y}", "peers: {c: z z}"),
        ("peers:  # by Ann\n    b: x y\n  minimum: 3", "peers: {}  # by Ann\n  minimum: 3"),
        ("peers:\n    c: z z\n    b: x y  # Ann\n    d: u u", "peers:\n    c: z z\n    d: u u"),
    ],
)
def test_a_peer_is_taken_out_with_its_line(before: str, after: str) -> None:
    head = "# mine\nsecure_aggregation:\n  "

    assert without_peer(f"{head}{before}\n", "b") == f"{head}{after}\n"


@pytest.mark.parametrize(
    "text",
    [
        "name: a\n...\n",
        "secure_aggregation:\n  peers: null\n",
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_left_to_a_person(text: str) -> None:
    with pytest.raises(ConfigError, match="does not know how to change") as error:
        with_peer(dedent(text), "b", KEY)

    assert f"write `b: {KEY}` under `secure_aggregation: peers:`" in error.value.mend
