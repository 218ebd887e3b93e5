"""`hanse join`: a party becomes a member of a federation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.options import SITE, SiteDirectory
from hanse.cli.output import command_line, note, say
from hanse.cli.signing_key import say_signing_key
from hanse.core.values.identity import Party, Role, check_name

if TYPE_CHECKING:
    from hanse.assembly.joining import Joined
    from hanse.errors import HanseError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def join(
    token: Annotated[
        str | None, typer.Argument(help="The invitation; - to read it from the standard input.")
    ] = None,
    directory: SiteDirectory = SITE,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A data source of the site; may be repeated.", metavar="NAME=PATH"),
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(
            help="Proxy on the way to the aggregator: http://HOST:PORT, none, or env for that of HTTPS_PROXY."
        ),
    ] = "env",
    request: Annotated[
        str | None,
        typer.Option(
            help="Write a request for a certificate under this name, for `hanse federation sign`. "
            "Needs --federation, --url and --output.",
            metavar="NAME",
        ),
    ] = None,
    federation: Annotated[str | None, typer.Option(help="With --request: the federation's name.")] = None,
    url: Annotated[str | None, typer.Option(help="With --request: the aggregator's address.")] = None,
    role: Annotated[Role, typer.Option(help="With --request: what the party will do.")] = Role.COLLABORATOR,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --request: the file to write.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Finish a --request with the file that `hanse federation sign` wrote.")
    ] = None,
) -> None:
    """Join a federation: with the TOKEN that its operator sent, or with files carried by hand.

    Makes the party's keys, which stay here, gets its certificate, and writes site.yaml (or
    operator.yaml, as the invitation says) with every setting explained. Prints the words of
    the party's signing key. Nothing is left behind when it fails.
    """
    from hanse.assembly.joining import Newcomer, join_with_certificate, join_with_token, request_by_hand

    if [token, request, certificate].count(None) != 2:
        raise typer.BadParameter("give one of TOKEN, --request and --certificate")
    sources, through = tuple(data or ()), None if proxy == "none" else proxy
    if token is not None:
        text = sys.stdin.readline() if token == "-" else token  # noqa: S105
        joined = join_with_token(directory, text, sources, through, on_retry=_say_waiting)
        _welcome(directory, joined)
    elif certificate is not None:
        _welcome(directory, join_with_certificate(directory, certificate))
    elif request is None or federation is None or url is None or output is None:
        raise typer.BadParameter("--request needs --federation, --url and --output")
    else:
        party = Party(check_name(federation), role, check_name(request))
        key = request_by_hand(directory, Newcomer(party, url, sources, through), output)
        say_signing_key(key.fingerprint, key.words)
        say(f"wrote {output}: send it to the operator of {federation}, for")
        say(f"  hanse federation sign {output.name} --name {request} --role {role} -o {request}.pem")
        join = command_line("hanse", "join", "--certificate", f"{request}.pem", "--site", str(directory))
        say(f"and finish with what comes back: {join}")


def _say_waiting(error: HanseError, attempt: int, _delay_s: float) -> None:
    if attempt == 1:
        note(f"{error.message}; trying again for some seconds, in case that it is starting")


def _welcome(directory: Path, joined: Joined) -> None:
    from hanse.config.settings import load_site

    party = joined.party
    say(f"{party.name} joined {party.federation}, whose authority is {joined.authority}")
    say_signing_key(joined.key.fingerprint, joined.key.words)
    say("  compare the words with the operator by telephone: hanse federation members --keys shows them")
    if party.role is Role.OPERATOR:
        say(f"next: {command_line('hanse', 'run', 'list', '--directory', str(directory))}")
    else:
        data = () if load_site(directory).data else ("where data is",)
        said = " and ".join((*data, "what is permitted"))
        say(f"next: say in {directory / 'site.yaml'} {said}, then")
        say(f"  {command_line('hanse', 'collaborator', 'start', '--site', str(directory))}")
