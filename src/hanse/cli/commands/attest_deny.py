"""`hanse attest deny`: machines, measurements and advisories that a party refuses, whatever a policy says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.options import Json
from hanse.cli.output import note, say, say_json
from hanse.errors import ConfigError

if TYPE_CHECKING:
    from hanse.control.appraisal.deny_list import DenyEntry


def deny(
    reason: Annotated[str, typer.Option(help="Why, in a sentence, which the other party sees.")],
    site: Annotated[
        Path | None, typer.Option("--site", "-s", file_okay=False, help="Directory of the site that refuses.")
    ] = None,
    federation: Annotated[
        Path | None,
        typer.Option("--federation", file_okay=False, help="Directory of the federation that refuses."),
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Identity of a machine, as a verdict states it; may be repeated."),
    ] = None,
    measurement: Annotated[
        list[str] | None,
        typer.Option(metavar="HEX", help="Measured value, such as that of a register; may be repeated."),
    ] = None,
    advisory: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Published advisory, such as INTEL-SA-00289; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Refuse what policies accept, from the next appraisal and the next key on. Entries are never removed.

    The list is `attestation/deny.json` in the party's folder, signed with the party's key.
    """
    from hanse.assembly.attested.deny import deny_at_aggregator, deny_at_site
    from hanse.assembly.tuning import now

    if (site is None) == (federation is None):
        raise typer.BadParameter("name --site or --federation")
    at = now()
    given = {"machine": machine, "measurement": measurement, "advisory": advisory}
    entries = list(_entries(given, reason, at))
    if not entries:
        raise typer.BadParameter("name a --machine, a --measurement or an --advisory")
    if site is not None:
        denied = deny_at_site(site, entries, at)
    else:
        assert federation is not None
        denied = deny_at_aggregator(federation, entries, at)
    if json:
        listed = [entry.model_dump(mode="json") for entry in denied.entries]
        say_json({"digest": denied.digest, "entries": listed})
        return
    for entry in denied.entries:
        say(f"{entry.kind:<12} {entry.value}  {entry.reason}")
    note("it counts at the next appraisal, at each result, and before each key that leaves")


def _entries(given: dict[str, list[str] | None], reason: str, at: datetime) -> Iterator[DenyEntry]:
    from pydantic import ValidationError

    from hanse.control.appraisal.deny_list import DenyEntry
    from hanse.core.values.safe_text import is_safe
    from hanse.core.values.schema import problem_of

    for kind, values in given.items():
        for value in values or ():
            if not (is_safe(value) and is_safe(reason)):
                raise ConfigError("the deny list takes printable text only")
            entry = {"kind": kind, "value": value, "reason": reason}
            try:
                yield DenyEntry.model_validate(entry | {"added_ms": round(at.timestamp() * 1000)})
            except ValidationError as error:
                raise ConfigError(f"{kind} {value[:40]!r}: {problem_of(error)}") from None
