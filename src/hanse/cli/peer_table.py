"""The peers of a site as commands print them, and the question for what was heard by telephone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from hanse.assembly.peers import (
    NewPeer,
    agent_has_older_settings,
    enter,
    new_peer,
    num_checked,
    replaces_another,
)
from hanse.cli.output import complain, note, say, say_json, say_table, warn
from hanse.collaborator.peers.standing import ListedPeer, Standing
from hanse.config.settings import load_site
from hanse.core.values.wording import counted, named
from hanse.errors import ConfigError
from hanse.pki.key_words import NUM_WORDS, read_fingerprint, words_of
from hanse.wire.messages.members import PeerKey

_TRIES = 3


def say_peers(peers: Sequence[ListedPeer], *, json: bool) -> None:
    """Print the sites of the federation as one of them has checked them."""
    if json:
        say_json(
            [
                {
                    "name": peer.name,
                    "signing_key": peer.signing_key,
                    "signing_key_words": peer.words or None,
                    "standing": peer.standing.name.lower(),
                }
                for peer in peers
            ]
        )
        return
    rows = [(peer.name, peer.standing.value, peer.words or "-") for peer in peers]
    say_table(("NAME", "HERE", "WORDS OF ITS SIGNING KEY, AS THE AGGREGATOR STATES THEM"), rows)
    if other := [peer.name for peer in peers if peer.standing is Standing.ANOTHER_KEY]:
        warn(
            f"the aggregator states another key of {named(other)} than is known here. A key changes only by "
            "rotation or a new enrolment: call them, and enter the new one by `hanse collaborator trust`"
        )
    note("Check a site by `hanse collaborator trust NAME`, with words that its people read out by telephone.")


def say_peers_of_operator(peers: Sequence[PeerKey], *, json: bool) -> None:
    """Print the sites of the federation for an operator, who has checked none."""
    words = {peer.name: peer.signing_key and words_of(peer.signing_key) for peer in peers}
    if json:
        say_json([peer.model_dump() | {"signing_key_words": words[peer.name]} for peer in peers])
        return
    rows = [(peer.name, words[peer.name] or "-") for peer in peers]
    say_table(("NAME", "WORDS OF ITS SIGNING KEY"), rows)


def enter_peer(directory: Path, name: str, heard: str | None) -> None:
    """Enter the key of a peer, from what was heard.

    Args:
        directory: Of the site.
        name: The peer.
        heard: Words or fingerprint; None to ask for the words.

    Raises:
        HanseError: As `hanse.assembly.peers.new_peer` and `enter`; also where there is no terminal to ask at.
    """
    peer = asyncio.run(new_peer(directory, name))
    replaced = replaces_another(peer)
    if not enter(peer, _asked(peer) if heard is None else heard):
        say(f"{name} was checked before; site.yaml stays as it is")
        return
    say(f"{name} is checked: {peer.key} is in site.yaml")
    if replaced:
        warn(f"this replaces another key of {name}; sums with the new one wait for a person's yes")
    checked, least = num_checked(directory), load_site(directory).secure_aggregation.colluders + 1
    say(f"{counted(checked, 'peer')} checked here; a cell needs at least {least} of them, see `hanse doctor`")
    note("Two sites of one institution count as one peer: enter one of them only.")
    say_restart()


def say_restart() -> None:
    """Print what has to be done after a change of the peers."""
    say("restart the agent, if it runs: it reads site.yaml when it starts")


def warn_of_older_settings(directory: Path) -> None:
    """Warn where the site's agent runs with an earlier `site.yaml` than commands read."""
    if agent_has_older_settings(directory):
        warn(
            "site.yaml was changed since the agent started, which decides by what it read then: restart "
            "the agent"
        )


def _asked(peer: NewPeer) -> str:
    """Ask for the words as they were heard; a word that is in no list is asked for again."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "there is no terminal to ask for the words at",
            mend="Give them by --words (`--words -` reads them from standard input), or --fingerprint.",
        )
    for left in reversed(range(_TRIES)):
        heard = str(typer.prompt(f"The {NUM_WORDS} words of {peer.name}, as its people read them out"))
        try:
            read_fingerprint(heard)
        except ConfigError as error:
            if not left:
                raise
            complain(f"{error.message}. {error.mend}")
        else:
            break
    return heard
