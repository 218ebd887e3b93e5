"""`hanse unseal`: a file that is sealed to an owner, checked and decrypted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import Json
from hanse.cli.output import say, say_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def unseal(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The sealed file.")],
    key: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, metavar="owner.key", help="The owner's private keys."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The content, decrypted.")],
    federation: Annotated[
        str | None, typer.Option(help="The federation that the file has to be of; any, if left out.")
    ] = None,
    rehearsal: Annotated[bool, typer.Option("--rehearsal", help="Open a file of a rehearsal too.")] = False,
    json: Json = False,
) -> None:
    """Check FILE and decrypt it: a model or result of a sealed run, or what the owner has sealed.

    Nothing is written where a check fails.
    """
    from hanse.control.sealed_files import unseal as open_file
    from hanse.sealing.owner import load_owner_key

    opened = open_file(file, output, load_owner_key(key), federation=federation, rehearsal=rehearsal)
    label = opened.label
    if json:
        told = {"file": str(output), "bytes": opened.size, "signed": opened.signed}
        say_json(label.model_dump(mode="json") | told | {"digests": list(opened.digests)})
        return
    say(f"{output}: {label}, {opened.size:,} bytes")
    if opened.signed:
        say("  signed by its owner")
        return
    say("  nothing in the file says who sealed it: if it is the run's, one of these is in the run's journal")
    for digest in opened.digests:
        say(f"    {digest}")
