"""What `hanse doctor` says of the way to an aggregator, over real TLS on this machine."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.network import answer_with, serving
from tests.parties import DAY, NOW, FakeService, Run, enrolled, new_authority
from tests.parties import run as run

from hanse.config.settings import OperatorSettings, SiteSettings, settings_yaml
from hanse.core.values.identity import Role
from hanse.doctor.checks import Finding, Grade
from hanse.doctor.examine import ExaminedPaths, examine
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.tls import server_context
from hanse.sandbox.confine import Confined
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.server.server import HttpsServer
from hanse.wire.messages.basics import Hello
from hanse.wire.protocol import SPOKEN

OTHER_HTTPS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Clocked(FakeService):
    """A service whose clock can be wrong."""

    ahead = timedelta(0)

    def hello(self) -> Hello:
        time_ms = round((datetime.now(UTC) + self.ahead).timestamp() * 1000)
        return Hello(version="1", federation=self.authority.federation, time_ms=time_ms)


async def confined() -> Confined:
    """Confining a worker takes longer than all else here, and is tested elsewhere."""
    return Confined(("namespaces",), files=True, network=True, processes=True, gaps=())


@pytest.fixture
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def context(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return server_context(enrolled(authority, tmp_path / "parties", "aggregator", Role.AGGREGATOR))


@pytest.fixture
def service(authority: Authority, tmp_path: Path) -> Clocked:
    return Clocked(authority, FileBlobStore(tmp_path / "aggregator"))


@pytest.fixture
def port(run: Run, service: Clocked, context: ssl.SSLContext) -> Iterator[int]:
    server = HttpsServer(service, context, "127.0.0.1")
    run(server.start())
    yield server.port
    run(server.close())


def site_of(credentials: Credentials, directory: Path, port: int) -> Path:
    """The directory of a site (or an operator) that joined with these credentials."""
    party = credentials.party
    schema = OperatorSettings if party.role is Role.OPERATOR else SiteSettings
    settings = schema(
        name=party.name, federation=party.federation, aggregator=f"https://localhost:{port}", proxy=None
    )
    shutil.copytree(credentials.directory, directory / "pki")
    file = "operator.yaml" if party.role is Role.OPERATOR else "site.yaml"
    (directory / file).write_text(settings_yaml(settings))
    return directory


@pytest.fixture
def site(authority: Authority, tmp_path: Path, port: int) -> Path:
    return site_of(enrolled(authority, tmp_path / "parties"), tmp_path / "site", port)


async def checked(*sites: Path, operators: tuple[Path, ...] = ()) -> dict[str, Finding]:
    """What was found, by check; where there was more than one finding, the worst."""
    found = await examine(ExaminedPaths(sites=sites, operators=operators), confined)
    order = list(Grade)
    return {finding.check: finding for finding in sorted(found, key=lambda each: order.index(each.grade))}


def test_a_site_that_is_in_order(run: Run, site: Path) -> None:
    found = run(checked(site))

    for check in ("certificate", "proxy", "aggregator", "clock", "membership", "directory", "disk", "plans"):
        assert found[check].grade is Grade.OK, found[check]
        assert found[check].place == f"site {site}"


def test_an_operator_that_is_in_order(run: Run, authority: Authority, tmp_path: Path, port: int) -> None:
    eve = enrolled(authority, tmp_path / "parties", "eve", Role.OPERATOR)

    found = run(checked(operators=(site_of(eve, tmp_path / "eve", port),)))

    assert found["membership"].grade is Grade.OK


def test_a_site_that_was_removed(run: Run, site: Path, service: Clocked) -> None:
    service.removed.add("hospital-a")

    found = run(checked(site))

    assert found["aggregator"].grade is Grade.OK
    assert found["membership"].grade is Grade.FAIL
    assert found["membership"].detail == "hospital-a was removed"


@pytest.mark.parametrize(
    ("ahead", "grade"), [(timedelta(minutes=2), Grade.WARN), (-timedelta(hours=1), Grade.FAIL)]
)
def test_a_wrong_clock(run: Run, site: Path, service: Clocked, ahead: timedelta, grade: Grade) -> None:
    service.ahead = ahead

    found = run(checked(site))

    assert found["clock"].grade is grade
    assert "Set the one that is wrong" in found["clock"].mend


def test_nobody_listens(run: Run, authority: Authority, tmp_path: Path) -> None:
    found = run(checked(site_of(enrolled(authority, tmp_path / "parties"), tmp_path / "site", 1)))

    assert found["aggregator"].grade is Grade.FAIL
    assert "cannot be reached" in found["aggregator"].detail
    assert "membership" not in found


async def refuse_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server that knows no TLS."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("over_tls", [True, False])
def test_something_else_answers(
    run: Run, authority: Authority, context: ssl.SSLContext, tmp_path: Path, over_tls: bool
) -> None:
    joined = enrolled(authority, tmp_path / "parties")
    server = (partial(answer_with, OTHER_HTTPS), context) if over_tls else (refuse_plainly, None)

    async def ask() -> dict[str, Finding]:
        async with serving(*server) as port:
            return await checked(site_of(joined, tmp_path / "site", port))

    found = run(ask())

    assert "does not answer like a Hanse aggregator" in found["aggregator"].detail


def test_an_aggregator_of_another_version(
    run: Run, authority: Authority, context: ssl.SSLContext, tmp_path: Path
) -> None:
    joined = enrolled(authority, tmp_path / "parties")
    own = SPOKEN.newest
    spoken = f"Hanse-Protocol: {own + 2}\r\nHanse-Protocols: {own + 1}-{own + 2}"
    newer = f"HTTP/1.1 426 No\r\n{spoken}\r\nContent-Length: 0\r\n\r\n".encode()

    async def ask() -> dict[str, Finding]:
        async with serving(partial(answer_with, newer), context) as port:
            return await checked(site_of(joined, tmp_path / "site", port))

    found = run(ask())

    assert found["aggregator"].grade is Grade.FAIL
    said = f"speaks protocol {own + 1}-{own + 2}, and this end {own}"
    assert said in found["aggregator"].detail


def test_an_aggregator_of_another_authority(run: Run, tmp_path: Path, port: int) -> None:
    foreign = enrolled(new_authority(), tmp_path / "foreign")

    found = run(checked(site_of(foreign, tmp_path / "site", port)))

    assert found["aggregator"].grade is Grade.FAIL
    assert "from another authority than this federation's" in found["aggregator"].detail


def test_a_certificate_that_expired(run: Run, authority: Authority, tmp_path: Path, port: int) -> None:
    old = enrolled(authority, tmp_path / "parties", since=NOW - 3 * DAY)

    found = run(checked(site_of(old, tmp_path / "site", port)))

    assert found["certificate"].grade is Grade.FAIL
    assert "expired on" in found["certificate"].detail
    assert found["aggregator"].grade is Grade.OK


def test_a_certificate_that_is_not_valid_yet(
    run: Run, authority: Authority, tmp_path: Path, port: int
) -> None:
    early = enrolled(authority, tmp_path / "parties", since=NOW + 3 * DAY)

    found = run(checked(site_of(early, tmp_path / "site", port)))

    assert "is not valid before" in found["certificate"].detail
    assert "clock" in found["certificate"].mend


def test_a_certificate_of_another_federation(run: Run, site: Path, tmp_path: Path) -> None:
    stranger = enrolled(new_authority(), tmp_path / "foreign")
    for name in ("party.key", "party.crt"):
        shutil.copy(stranger.directory / name, site / "pki" / name)

    found = run(checked(site))

    assert found["certificate"].grade is Grade.FAIL
    assert "signed by another federation's authority" in found["certificate"].detail


def test_a_key_that_others_can_read(run: Run, site: Path) -> None:
    (site / "pki" / "party.key").chmod(0o644)

    found = run(checked(site))

    assert "others than its owner may touch it" in found["certificate"].detail
    assert found["certificate"].mend == f"Run `chmod 600 {site / 'pki' / 'party.key'}`."


def test_settings_that_are_wrong(run: Run, site: Path) -> None:
    (site / "site.yaml").write_text("name: a\n")

    found = run(checked(site))

    assert found["settings"].grade is Grade.FAIL
    assert "federation: is missing" in found["settings"].detail
