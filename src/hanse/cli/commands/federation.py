"""`hanse federation`: who belongs to a federation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hanse.cli.options import FEDERATION, SITE, FederationDirectory, Json, SiteDirectory, seconds
from hanse.cli.output import command_line, note, say, say_json, say_table
from hanse.core.values.identity import Role, check_name
from hanse.core.values.wording import format_time

if TYPE_CHECKING:
    from hanse.config.settings import AggregatorSettings
    from hanse.control.administration import Administration
    from hanse.wire.messages.members import Member

T = TypeVar("T")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Invited = Annotated[Role, typer.Option("--role", help="What the party may do: collaborator or operator.")]


@app.callback()
def _federation() -> None:
    """Create a federation; invite and remove its members.

    Members can be administered while the aggregator runs, and in its directory while it does not.
    """


@app.command()
def create(
    name: Annotated[str, typer.Option(help="The federation's name: a-z, 0-9, dot, hyphen, underscore.")],
    directory: Annotated[
        Path, typer.Argument(envvar="HANSE_FEDERATION", help="Directory to make it in.")
    ] = FEDERATION,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name or IP address at which sites reach the aggregator; may be repeated. "
            "Unset: localhost, for a federation on this machine alone."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port of the aggregator.")] = 8443,
    url: Annotated[
        str | None,
        typer.Option(help="Address for sites, where it is not https://HOST:PORT, as behind a gateway."),
    ] = None,
) -> None:
    """Make a federation: its certificate authority, its aggregator's settings, a first operator."""
    from hanse.assembly.federation import create_federation

    settings = _settings(name, host or ["localhost"], port, url)
    fingerprint = create_federation(directory, settings)
    say(f"federation {name} is in {directory}; sites will reach it at {settings.url}")
    say(f"authority {fingerprint}")
    start = command_line("hanse", "aggregator", "start", str(directory))
    say(f"next: {start}, and {command_line('hanse', 'federation', 'invite', 'SITE', '-d', str(directory))}")


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="Name that the party will have in the federation.")],
    role: Invited = Role.COLLABORATOR,
    lifetime: Annotated[
        str, typer.Option(help="How long the invitation is good, such as 30m, 24h or 7d; 30 days at most.")
    ] = "24h",
    directory: FederationDirectory = FEDERATION,
) -> None:
    """Print an invitation for NAME, which `hanse join` takes once."""
    from hanse.wire.messages.members import InviteRequest

    request = InviteRequest(name=check_name(name), role=role, lifetime_s=seconds(lifetime, 30 * 86_400))
    say(_administer(directory, lambda members: members.invite(request)).token)
    note(f"Send this line to {name} over a trusted channel; the first person to use it joins as {name}.")


@app.command()
def members(
    directory: FederationDirectory = FEDERATION,
    keys: Annotated[
        bool, typer.Option("--keys", help="Show each party's signing key, whole and in words.")
    ] = False,
    json: Json = False,
) -> None:
    """List the parties that ever joined, with the signing keys that the aggregator has recorded."""
    found = _administer(directory, lambda members: members.members())
    if json:
        say_json([_member_json(member) for member in found.members])
        return
    if keys:
        _say_keys(found.members)
        return
    say_table(
        ("NAME", "ROLE", "STATE", "CERTIFICATE ENDS", "LAST SEEN", "SIGNING KEY"),
        [
            (
                member.name,
                member.role,
                "removed" if member.removed else "enrolled",
                format_time(member.not_after_ms),
                format_time(member.seen_ms),
                (member.signing_key or "none")[:16],
            )
            for member in found.members
        ],
    )


@app.command()
def peers(
    context: typer.Context,
    site: SiteDirectory = SITE,
    directory: FederationDirectory = FEDERATION,
    json: Json = False,
) -> None:
    """List the sites with the words of their signing keys, and which of them are checked here.

    The words are what the aggregator states. At a site, `hanse collaborator trust NAME` compares them with
    those that a person of the other site reads out by telephone. Without a site in --site, or with
    --directory, the list is an operator's.
    """
    from hanse.cli.peer_table import say_peers, say_peers_of_operator, warn_of_older_settings
    from hanse.config.settings import SITE_FILE

    source = context.get_parameter_source("directory")  # the environment may name both
    if (site / SITE_FILE).exists() and (source is None or source.name != "COMMANDLINE"):
        from hanse.assembly.peers import site_peers

        say_peers(asyncio.run(site_peers(site)), json=json)
        warn_of_older_settings(site)
        return
    from hanse.transport.client.peer_list import all_peers

    say_peers_of_operator(_administer(directory, lambda members: all_peers(members.peers)), json=json)


def _member_json(member: Member) -> dict[str, Any]:
    from hanse.pki.key_words import words_of

    key = member.signing_key
    written: dict[str, Any] = member.model_dump(mode="json")
    return written | {"signing_key_words": None if key is None else words_of(key)}


def _say_keys(members: Iterable[Member]) -> None:
    from hanse.pki.key_words import words_of

    for member in members:
        removed = ", removed" if member.removed else ""
        if member.signing_key is None:
            say(f"{member.name} ({member.role}{removed}): no signing key is recorded")
            continue
        since = "stated when it joined" if member.key_at_enrolment else "stated later: it joined before 0.2"
        say(f"{member.name} ({member.role}{removed}): {member.signing_key}")
        say(f"  {words_of(member.signing_key)}")
        say(f"  {since}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The party to remove.")],
    force: Annotated[bool, typer.Option("--force", help="Remove the last operator too.")] = False,
    invited: Annotated[
        bool, typer.Option("--invited", help="Void the invitations for NAME, though it has never joined.")
    ] = False,
    directory: FederationDirectory = FEDERATION,
) -> None:
    """Remove NAME from the federation, at its next request; its runs continue without it.

    All invitations for NAME that were made before are void, also where it was removed before.
    """
    check_name(name)
    found = _administer(directory, lambda members: members.remove(name, force=force, invited=invited))
    if any(member.name == name for member in found.members):
        say(f"{name} is removed, and its invitations are void; it can come back with a new one")
    else:
        say(f"{name} has never joined; its invitations are void")


@app.command()
def sign(
    request: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="File that `hanse join --request` wrote.")
    ],
    name: Annotated[str, typer.Option(help="Name that the party will have in the federation.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, for `hanse join --certificate`.")
    ],
    role: Invited = Role.COLLABORATOR,
    directory: FederationDirectory = FEDERATION,
) -> None:
    """Enrol a party whose request was carried here by hand, for a site that cannot enrol over the network."""
    from hanse.files.atomic import read_file, write_file
    from hanse.pki.enrolment_file import read_request
    from hanse.pki.key_words import words_of
    from hanse.wire.messages.basics import decode_value
    from hanse.wire.messages.members import SignRequest

    csr, enrolment = read_request(read_file(request).decode(errors="replace"))
    stated = {"name": check_name(name), "role": role, "csr": csr, "enrolment": enrolment}
    asked = decode_value(SignRequest, stated)
    issued = _administer(directory, lambda members: members.sign(asked))
    join = command_line("hanse", "join", "--certificate", output.name)
    write_file(output, (issued.certificate + issued.authority).encode())
    say(f"signing key of {name}: {enrolment.claimed_signer}")
    say(f"  compare its words with {name} by telephone: {words_of(enrolment.claimed_signer)}")
    say(f"{name} is enrolled; send {output} to {name}, for `{join}`")


def _settings(name: str, hosts: list[str], port: int, url: str | None) -> AggregatorSettings:
    from hanse.config.document import Document
    from hanse.config.settings import AggregatorSettings
    from hanse.errors import ConfigError

    hosts = [host.removeprefix("[").removesuffix("]") for host in hosts]
    first = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    settings = {
        "federation": name,
        "url": url or f"https://{first}:{port}",
        # This machine's own names too, so that the operator here needs no detour.
        "hosts": list(dict.fromkeys((*hosts, "localhost", "127.0.0.1"))),
        "listen": {"port": port, "host": _listen_at(hosts)},
    }
    return Document("hanse federation create", settings, {}, ConfigError).check(AggregatorSettings)


def _listen_at(hosts: list[str]) -> str:
    """Address to listen at, so that each of these hosts is reached."""
    if set(hosts) <= {"localhost", "127.0.0.1"}:
        return "127.0.0.1"
    if set(hosts) <= {"localhost", "127.0.0.1", "::1"}:
        return "::1" if set(hosts) == {"::1"} else "localhost"
    # A name may be one of IPv6 only.
    return "0.0.0.0" if all(_is_ipv4(host) for host in hosts) else "::"  # noqa: S104  as in the settings


def _is_ipv4(host: str) -> bool:
    from ipaddress import AddressValueError, IPv4Address

    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _administer(directory: Path, what: Callable[[Administration], Awaitable[T]]) -> T:
    from hanse.assembly.operator import administration

    async def ask() -> T:
        async with administration(directory) as members:
            return await what(members)

    return asyncio.run(ask())
