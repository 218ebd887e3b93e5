"""`hanse seal`: a first model, encrypted for its owner and signed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import Json
from hanse.cli.output import note, say, say_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Purpose(StrEnum):
    """Kinds of files that an owner seals."""

    INITIAL = "initial"
    FILE = "file"


@app.command()
def seal(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The model, a safetensors file.")],
    owner: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="owner.key",
            help="The owner's private keys: the file is sealed to the owner, who signs it.",
        ),
    ],
    federation: Annotated[str, typer.Option(help="The federation whose runs may begin with the model.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="The sealed file; else FILE with .sealed behind it."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name in the label; else the file's, without its end.")
    ] = None,
    purpose: Annotated[
        Purpose, typer.Option(help="initial: a first model; file: anything else, which no run begins with.")
    ] = Purpose.INITIAL,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="For a rehearsal, in which software may play a device.")
    ] = False,
    json: Json = False,
) -> None:
    """Seal FILE, which no other than the owner opens: a first model for `initial_model` of a plan.

    FILE itself stays as it is: delete it, or keep it where no one else comes.
    """
    from hanse.control.sealed_files import label_of, seal_for_owner
    from hanse.core.plan.evidence.section import SEALED_SUFFIX
    from hanse.sealing.owner import load_owner_key

    key = load_owner_key(owner)
    label = label_of(purpose.value, federation, file.stem if name is None else name, rehearsal=rehearsal)
    target = file.with_name(f"{file.name}{SEALED_SUFFIX}") if output is None else output
    made = seal_for_owner(file, target, key, label)
    if json:
        told = {
            "file": str(target),
            "sha256": made.digest,
            "bytes": made.size,
            "owner": key.public.fingerprint,
        }
        say_json(label.model_dump(mode="json") | told)
        return
    say(f"{target}: {label}")
    say(f"  sealed to the owner {key.public.name} ({key.public.fingerprint[:16]}), who signed it")
    say(f"  {made.size:,} bytes, SHA-256 {made.digest}")
    note(f"{file} is still there, and can be read")
