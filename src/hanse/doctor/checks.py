"""Single checks of `hanse doctor`: each looks at one thing and says what it found."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from socket import AI_PASSIVE, SOCK_STREAM, getaddrinfo
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from hanse import __version__
from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.restored import restored_note
from hanse.collaborator.review import is_whole
from hanse.collaborator.site_journal import ACKNOWLEDGE, records_of
from hanse.collaborator.startup import unusable_sources
from hanse.config.layout import JOURNAL
from hanse.config.settings import AggregatorSettings, SiteSettings
from hanse.config.units import format_size
from hanse.core.journal.chain import Record, check_chain
from hanse.core.journal.site_history import SiteHistory
from hanse.core.values.identity import Party, Role
from hanse.core.values.wording import counted, visible
from hanse.errors import CredentialError, HanseError
from hanse.files.errors import file_errors
from hanse.pki.authority import Authority
from hanse.pki.clock_skew import skew
from hanse.pki.credentials import Credentials
from hanse.pki.tls import client_context, pinned_context, unverified_context
from hanse.sandbox.confine import Confined
from hanse.storage.base import Journal
from hanse.storage.journal_sql import SqlJournal
from hanse.transport.api.common_routes import HELLO
from hanse.transport.api.member_routes import MEMBERS
from hanse.transport.api.site_routes import NEXT
from hanse.transport.client.address import FROM_ENVIRONMENT, Patience
from hanse.transport.client.connection import HttpsConnection
from hanse.wire.messages.basics import Empty, Hello
from hanse.wire.messages.sites import NextRequest

_PATIENCE = Patience(connect_s=5.0, idle_s=10.0)
_RECORDS_A_READ = 1_000


class Grade(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of a check.

    Attributes:
        check: What was looked at.
        detail: What is so, or what is wrong.
        mend: What to do about it.
        place: The party and directory that it is about; empty for the machine.
    """

    check: str
    grade: Grade
    detail: str
    mend: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """The way to an aggregator.

    Attributes:
        url: Its address.
        proxy: As the settings have it.
        federation: Whose aggregator it should be.
    """

    url: str
    proxy: str | None
    federation: str

    def open(self, context: ssl.SSLContext) -> HttpsConnection:
        """Connections that give up soon."""
        return HttpsConnection(self.url, context, proxy=self.proxy, patience=_PATIENCE)


def failed(check: str, error: HanseError) -> Finding:
    """An error as what a check found."""
    return Finding(check, Grade.FAIL, error.message, error.mend)


def check_machine() -> Iterator[Finding]:
    """Say what runs here."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding("machine", Grade.OK, f"Hanse {__version__}, Python {platform.python_version()}, {system}")


def check_sandbox(confined: Confined, *, required: bool) -> Iterator[Finding]:
    """Say how far plan code can be locked in on this machine."""
    layers = ", ".join(confined.layers) or "none"
    if not confined.gaps:
        yield Finding("sandbox", Grade.OK, f"plan code is locked in by {layers}")
        return
    unusable = required and not confined.locked_in()
    yield Finding(
        "sandbox",
        Grade.FAIL if unusable else Grade.WARN,
        f"plan code is not fully locked in; layers: {layers}; {'; '.join(confined.gaps)}",
        "Permit user namespaces or use a kernel with Landlock; in a container, its rules may forbid both.",
    )


# ------------------------------------------------------------------ files and disk


def check_credentials(
    credentials: Credentials, name: str, renew_at: float, now: datetime
) -> Iterator[Finding]:
    """Say whose certificate it is and how long it lasts; loading it has checked the rest."""
    party, end = credentials.party, f"{credentials.not_after:%Y-%m-%d %H:%M} UTC"
    if party.name != name:
        yield Finding(
            "certificate",
            Grade.FAIL,
            f"it is that of {party.name}, and the settings say `name: {name}`",
            "Correct the settings, or join again under that name.",
        )
    elif credentials.fraction_left(now) < renew_at / 2:
        yield Finding(
            "certificate",
            Grade.WARN,
            f"it ends on {end}, and should have been renewed by now",
            "It is renewed while the agent or service runs and the aggregator can be reached.",
        )
    else:
        yield Finding("certificate", Grade.OK, f"that of {party.uri}, good until {end}")


def check_writable(directory: Path, folders: tuple[str, ...]) -> Iterator[Finding]:
    """Try to write in a directory and those of its folders that exist."""
    for folder in (directory, *(directory / name for name in folders if (directory / name).exists())):
        with file_errors(f"write in {folder}"), tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    yield Finding("directory", Grade.OK, f"{directory.absolute()} can be written")


def check_disk(directory: Path, reserve: int) -> Iterator[Finding]:
    """Hold the free space against what is to be left free."""
    with file_errors(f"ask for the free space of {directory}"):
        free = shutil.disk_usage(directory).free
    said = f"{free / 1e9:.1f} GB free, of which {format_size(reserve)} stay reserved"
    if free < reserve:
        grade, mend = Grade.FAIL, "Free some space, or lower `disk_reserve` in the settings."
    elif free < 2 * reserve:
        grade, mend = Grade.WARN, "Free some space before it runs out."
    else:
        grade, mend = Grade.OK, ""
    yield Finding("disk", grade, said, mend)


def check_data(settings: SiteSettings) -> Iterator[Finding]:
    """Look for the data sources that a site names."""
    if not settings.data:
        yield Finding("data", Grade.WARN, "site.yaml names no data source", "Name them under `data:`.")
    problems = dict(unusable_sources(settings.data))
    for name, path in settings.data.items():
        if name not in problems:
            yield Finding("data", Grade.OK, f"{name}: {path}")
            continue
        mend = f"Mount it, give the user of Hanse access, or correct `{name}` under `data:` in site.yaml."
        yield Finding("data", Grade.FAIL, f"{name}: {problems[name]}", mend)


def check_plans(directory: Path) -> Iterator[Finding]:
    """Hold the plans of a site, and their code, against their digests."""
    plans, good = PlanStore(directory), 0
    for folder in sorted(directory.glob("*/")):
        digest = folder.name
        try:
            manifest = plans.manifest(digest)
        except HanseError as error:
            yield Finding("plans", Grade.FAIL, error.message, f"Remove {folder}; the agent fetches it again.")
            continue
        bundle = plans.bundle(digest)
        if bundle.exists() and not is_whole(bundle, manifest):
            yield Finding(
                "plans",
                Grade.FAIL,
                f"the code in {bundle} is not that of plan {manifest.plan.name} ({digest[:12]})",
                f"Find out who changed it, then remove {bundle}; the agent fetches it again.",
            )
        else:
            good += 1
    yield Finding("plans", Grade.OK, f"{good} are what their digests say")


def check_authority(directory: Path, now: datetime) -> Iterator[Finding]:
    """Read the authority, and see how long it lasts."""
    authority = Authority.load(directory)
    end = authority.certificate.not_valid_after_utc
    yield Finding(
        "authority",
        Grade.OK if now < end else Grade.FAIL,
        f"{authority.federation} ({authority.fingerprint}), until {end:%Y-%m-%d}",
        "" if now < end else "It has expired: create a new federation.",
    )


def check_journal(path: Path) -> Iterator[Finding]:
    """Follow every chain of the journal from its beginning."""
    with file_errors(f"read {path}"):
        path.stat()  # opened below, a journal that is missing would be made
    with closing(SqlJournal(path)) as journal:
        streams = journal.streams()
        records = sum(check_chain(_records(journal, stream))[0] for stream in streams)
    yield Finding(
        "journal", Grade.OK, f"{counted(records, 'record')} in {counted(len(streams), 'intact chain')}"
    )


def check_site_journal(directory: Path, party: Party | None = None) -> Iterator[Finding]:
    """Follow the chain of a site's journal from its beginning, and report what was acknowledged."""
    if not os.path.lexists(directory / JOURNAL):
        yield Finding("journal", Grade.OK, "none yet; the agent begins the journal when it first starts")
        return
    history = SiteHistory()
    for _ in records_of(directory, history, party):
        pass
    told = [f"{counted(history.records, 'record')} in an intact chain"]
    if history.restores:
        told.append(f"{counted(history.restores, 'acknowledged restore')} of a backup")
    if (before := history.damaged()) is not None:
        told.append(f"begun instead of {before.file}, which is damaged, as {visible(before.by)} acknowledged")
    yield Finding("journal", Grade.OK, "; ".join(told))
    if (restored := restored_note(directory)) is not None:
        yield Finding(
            "journal",
            Grade.FAIL,
            f"nothing leaves this site: {restored}",
            f"Put back a later copy of the journal and start the agent, or run `{ACKNOWLEDGE}`.",
        )


def _records(journal: Journal, stream: str) -> Iterator[Record]:
    after = 0
    while records := journal.read(stream, after=after, limit=_RECORDS_A_READ):
        yield from records
        after = records[-1].sequence


def check_port(settings: AggregatorSettings) -> Iterator[Finding]:
    """See whether an aggregator that does not run could listen."""
    listen = settings.listen
    host = None if listen.host == "::" else listen.host
    try:
        for family, _, _, _, address in getaddrinfo(host, listen.port, type=SOCK_STREAM, flags=AI_PASSIVE):
            with socket.socket(family) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
                trial.bind(address)
    except OSError as error:
        yield Finding(
            "port",
            Grade.FAIL,
            f"cannot listen on port {listen.port} of {listen.host}: {error.strerror}",
            "End the program that uses it, or change `listen` in aggregator.yaml.",
        )
        return
    yield Finding("port", Grade.OK, f"{listen.port} is free; the aggregator does not run")


# ------------------------------------------------------------------------- network


def check_proxy(way: Way) -> Iterator[Finding]:
    """Say which proxy is on the way, without its password."""
    set_by, proxy = "the settings say", way.proxy
    if proxy == FROM_ENVIRONMENT:
        set_by, proxy = "HTTPS_PROXY says", getproxies().get("https")
        if proxy and proxy_bypass(urlsplit(way.url).netloc):
            yield Finding("proxy", Grade.OK, "none: NO_PROXY exempts the aggregator from HTTPS_PROXY")
            return
    if not proxy:
        yield Finding("proxy", Grade.OK, "none: the aggregator is reached directly")
        return
    shown = urlsplit(proxy if "://" in proxy else f"http://{proxy}").netloc.rpartition("@")[2]
    yield Finding("proxy", Grade.OK, f"{shown}, as {set_by}")


async def check_aggregator(way: Way, authority: str, clock: Callable[[], datetime]) -> list[Finding]:
    """Ask who answers at the aggregator's address, and what time it is there.

    Args:
        way: To the aggregator.
        authority: PEM of the certificate that it has to be vouched for by.
        clock: Gives the time here.
    """
    try:
        hello = await _hello(way, pinned_context(authority))
    except CredentialError as error:
        # Perhaps it is the clock here: ask for the time, from somebody who is not believed otherwise.
        hello = await _hello(way, unverified_context())
        astray = [finding for finding in check_clock(hello, clock()) if finding.grade is not Grade.OK]
        return [failed("aggregator", error), *astray]
    if hello.federation != way.federation:
        detail = f"{way.url} is the aggregator of {hello.federation}, not of {way.federation}"
        return [Finding("aggregator", Grade.FAIL, detail, "Correct the address in the settings.")]
    detail = f"{way.url} answers: Hanse {hello.version}, protocol {hello.protocol}"
    return [Finding("aggregator", Grade.OK, detail), *check_clock(hello, clock())]


def check_clock(hello: Hello, now: datetime) -> Iterator[Finding]:
    """Hold this machine's clock against the aggregator's."""
    clock = skew(hello, now.timestamp())
    if not clock.wrong:
        yield Finding("clock", Grade.OK, f"{abs(clock.ahead_s):.0f} s from the aggregator's")
        return
    yield Finding(
        "clock",
        Grade.FAIL if clock.breaks_certificates else Grade.WARN,
        f"it is {_span(abs(clock.ahead_s))} {'ahead of' if clock.ahead_s > 0 else 'behind'} the aggregator's",
        "Set the one that is wrong, best by NTP: certificates and deadlines go by it.",
    )


async def check_membership(way: Way, credentials: Credentials) -> list[Finding]:
    """Ask something that only a member may."""
    async with way.open(client_context(credentials)) as connection:
        if credentials.party.role is Role.OPERATOR:
            found = await connection.call(MEMBERS, Empty())
            detail = f"the aggregator lists {counted(len(found.members), 'member')}"
        else:
            work = await connection.call(NEXT, NextRequest(known="", wait_s=0.0))
            waiting = "1 run waits" if len(work.runs) == 1 else f"{len(work.runs)} runs wait"
            detail = f"the aggregator knows this site; {waiting} for it"
    return [Finding("membership", Grade.OK, detail)]


async def _hello(way: Way, context: ssl.SSLContext) -> Hello:
    async with way.open(context) as connection:
        return await connection.call(HELLO, Empty())


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
