"""`hanse owner`: the keys of a model's owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.options import Json
from hanse.cli.output import note, say, say_json

if TYPE_CHECKING:
    from hanse.sealing.owner import Owner

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_FOLDER = Path("owner")


@app.callback()
def _owner() -> None:
    """Create and show the keys of a model's owner, to which models and results are sealed."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the owner, such as the hospital's.")],
    directory: Annotated[
        Path, typer.Option("--directory", "-d", file_okay=False, help="Folder to write the keys to.")
    ] = _FOLDER,
    json: Json = False,
) -> None:
    """Create the keys of the owner NAME: owner.key, which stays with the owner, and owner.json for plans.

    Nothing is written over. Without owner.key nothing that is sealed to the owner can be opened: back it up.
    """
    from hanse.core.values.identity import check_name
    from hanse.sealing.owner import KEY_FILE, PUBLIC_FILE, create_owner

    key = create_owner(check_name(name), directory)
    _say(key.public, json=json)
    note(
        f"wrote {directory / KEY_FILE}, which is private: back it up; and {directory / PUBLIC_FILE} for plans"
    )


@app.command()
def show(
    file: Annotated[
        Path, typer.Argument(metavar="owner.json", exists=True, dir_okay=False, help="The public keys.")
    ],
    json: Json = False,
) -> None:
    """Show whose keys a file has, with the words for a check by telephone."""
    from hanse.sealing.owner import load_owner

    _say(load_owner(file), json=json)


def _say(owner: Owner, *, json: bool) -> None:
    from hanse.pki.key_words import words_of

    words = words_of(owner.fingerprint)
    if json:
        say_json({"name": owner.name, "fingerprint": owner.fingerprint, "words": words})
        return
    say(f"owner {owner.name}")
    say(f"keys {owner.fingerprint}")
    say(f"  in words: {words}")
