"""`hanse federation peers` and `hanse collaborator trust`, of a site whose aggregator a test answers for."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import pytest
import typer
from tests.commands import Hanse
from tests.parties import new_authority
from tests.unit.collaborator.aggregators import Site, joined

from hanse.assembly import peers
from hanse.config.settings import SiteSettings, load_site, settings_yaml
from hanse.errors import TransportError
from hanse.pki.key_words import words_of
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import PeerKey

KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("b", "c")}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site of a federation with b and c."""
    directory = tmp_path / "site"
    directory.mkdir()
    site = joined(directory, new_authority())
    settings = SiteSettings(
        name="hospital-a", federation="north", aggregator="https://localhost:1", proxy=None
    )
    (directory / "site.yaml").write_text(settings_yaml(settings))
    own = SigningKey.load(directory / "pki").fingerprint
    site.upstream.peer_keys = (
        *(PeerKey(name=name, signing_key=key) for name, key in KEYS.items()),
        PeerKey(name="hospital-a", signing_key=own),
    )
    monkeypatch.setattr(peers, "site_upstream", lambda *_: site.upstream)
    return site


def checked(site: Site) -> dict[str, str]:
    return load_site(site.directory).secure_aggregation.peers


def test_a_site_sees_who_is_checked_here_with_the_words_that_the_aggregator_states(
    hanse: Hanse, site: Site
) -> None:
    hanse("collaborator", "trust", "c", "--site", site.directory, "--fingerprint", KEYS["c"])

    ended = hanse("federation", "peers", "--site", site.directory)

    assert ended.code == 0, ended.err
    _, b, c, own = ended.out.splitlines()
    assert b == f"b           not checked  {words_of(KEYS['b'])}"
    assert c == f"c           checked      {words_of(KEYS['c'])}"
    assert own.startswith("hospital-a  this site    ")


def test_peers_for_scripts(hanse: Hanse, site: Site) -> None:
    found = json.loads(hanse("federation", "peers", "--site", site.directory, "--json").out)

    assert found[0] == {
        "name": "b",
        "signing_key": KEYS["b"],
        "signing_key_words": words_of(KEYS["b"]),
        "standing": "unchecked",
    }


def test_another_key_than_the_checked_one_is_warned_of(hanse: Hanse, site: Site) -> None:
    hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))
    other = hashlib.sha256(b"other").hexdigest()
    site.upstream.peer_keys = (PeerKey(name="b", signing_key=other),)

    ended = hanse("federation", "peers", "--site", site.directory)

    assert "states another key of b than is known here" in ended.err
    assert "another key" in ended.out


def test_words_as_they_were_heard_put_the_whole_fingerprint_into_site_yaml(hanse: Hanse, site: Site) -> None:
    before = (site.directory / "site.yaml").read_text()

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))

    assert ended.code == 0, ended.err
    assert checked(site) == {"b": KEYS["b"]}
    assert (site.directory / "site.yaml").read_text() == before.replace(
        "  # peers: {}\n", f"  peers:\n    b: {KEYS['b']}\n"
    )
    assert ended.out == (
        f"b is checked: {KEYS['b']} is in site.yaml\n"
        "1 peer checked here; a cell needs at least 2 of them, see `hanse doctor`\n"
        "restart the agent, if it runs: it reads site.yaml when it starts\n"
    )


def test_other_words_are_refused_and_never_shown_and_nothing_is_written(hanse: Hanse, site: Site) -> None:
    before = (site.directory / "site.yaml").read_bytes()

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["c"]))

    assert ended.code == 8
    assert "somebody has enrolled another key in that name" in ended.err
    assert words_of(KEYS["b"]).split()[0] not in ended.err + ended.out
    assert (site.directory / "site.yaml").read_bytes() == before


def test_the_words_are_asked_for_and_a_word_that_is_in_no_list_is_asked_for_again(
    hanse: Hanse, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["abandon ability", words_of(KEYS["b"])])
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return next(typed)

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Terminal())

    ended = hanse("collaborator", "trust", "b", "--site", site.directory)

    assert ended.code == 0, ended.err
    assert asked == ["The 12 words of b, as its people read them out"] * 2
    assert "is not the fingerprint of a signing key" in ended.err
    assert checked(site) == {"b": KEYS["b"]}


def test_words_can_come_from_standard_input_with_commas_between_them(
    hanse: Hanse, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{words_of(KEYS['b']).replace(' ', ', ')}\n"))

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", "-")

    assert ended.code == 0, ended.err
    assert checked(site) == {"b": KEYS["b"]}


class Terminal:
    """A standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_the_words_have_to_be_given(hanse: Hanse, site: Site) -> None:
    ended = hanse("collaborator", "trust", "b", "--site", site.directory)

    assert ended.code == 3
    assert "--words" in ended.err


def test_a_new_key_of_a_checked_peer_replaces_the_old_one_and_says_so(hanse: Hanse, site: Site) -> None:
    hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))
    key = hashlib.sha256(b"rotated").hexdigest()
    site.upstream.peer_keys = (PeerKey(name="b", signing_key=key),)

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(key))

    assert ended.code == 0
    assert "this replaces another key of b" in ended.err
    assert checked(site) == {"b": key}


def test_the_same_key_twice_changes_nothing(hanse: Hanse, site: Site) -> None:
    arguments = ("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))
    hanse(*arguments)

    assert hanse(*arguments).out == "b was checked before; site.yaml stays as it is\n"


def test_a_peer_can_be_removed_while_the_aggregator_is_away(hanse: Hanse, site: Site) -> None:
    hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))
    site.upstream.fail("peers", TransportError("away"))

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--remove")

    assert ended.code == 0, ended.err
    assert checked(site) == {}
    assert hanse("collaborator", "trust", "b", "--site", site.directory, "--remove").code == 3


def test_words_and_removal_together_are_refused(hanse: Hanse, site: Site) -> None:
    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", "x", "--remove")

    assert ended.code == 2
    assert "one of --words, --fingerprint and --remove" in ended.err


def test_permissions_and_a_link_stay_as_they_are(hanse: Hanse, site: Site, tmp_path: Path) -> None:
    link, file = site.directory / "site.yaml", tmp_path / "elsewhere.yaml"
    link.rename(file)
    file.chmod(0o640)
    link.symlink_to(file)

    ended = hanse("collaborator", "trust", "b", "--site", site.directory, "--words", words_of(KEYS["b"]))

    assert ended.code == 0, ended.err
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert checked(site) == {"b": KEYS["b"]}


def test_an_operator_sees_the_words_and_no_standing(hanse: Hanse, tmp_path: Path) -> None:
    hanse("federation", "create", tmp_path / "federation", "--name", "north", "--port", 9443)

    ended = hanse("federation", "peers", "-d", tmp_path / "federation", "--site", tmp_path)

    assert ended.code == 0, ended.err
    assert ended.out == "NAME  WORDS OF ITS SIGNING KEY\n"
