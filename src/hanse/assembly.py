"""The only file that knows which class fits which setting: puts services and clients together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hanse import tuning
from hanse.aggregator.identities import RENEW_AT, certify, enrol_operator, renew_operator
from hanse.aggregator.registry import Lifetimes, Registry
from hanse.collaborator.renewal import Identity
from hanse.config.layout import AUTHORITY, IDENTITY, JOURNAL, OPERATOR
from hanse.config.settings import (
    AGGREGATOR_FILE,
    OPERATOR_FILE,
    AggregatorSettings,
    OperatorSettings,
    SiteSettings,
    load_aggregator,
    load_operator,
    load_site,
    settings_yaml,
)
from hanse.control.administration import Administration, Ask
from hanse.control.client import ControlClient
from hanse.core.identity import Party, Role
from hanse.errors import ConfigError, HanseError, StorageError, TransportError
from hanse.pki.authority import Authority
from hanse.pki.credentials import KEY_FILE, Credentials
from hanse.pki.files import write_file
from hanse.pki.tls import client_context, present, server_context
from hanse.sandbox.confine import Confinement
from hanse.sandbox.probe import available
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.lock import DirectoryLock
from hanse.storage.staging import staged
from hanse.transport.https_client import HttpsUpstream
from hanse.transport.https_connection import HttpsConnection
from hanse.transport.https_server import HttpsServer, Limits
from hanse.transport.retry import OnRetry, tell_nobody
from hanse.transport.route import A, Call, Q, Route
from hanse.tuning import now

# Only what a client needs is imported here: the service, its journal and the agent cost half a second.
if TYPE_CHECKING:
    from hanse.aggregator.service import AggregatorService
    from hanse.aggregator.supervisor import Limits as WorkerLimits
    from hanse.collaborator.agent import Agent
    from hanse.storage.base import Journal

logger = logging.getLogger(__name__)

_AUTHORITY_LIFETIME = timedelta(days=20 * 365)


# ------------------------------------------------------------------- federation


def create_federation(directory: Path, settings: AggregatorSettings) -> str:
    """Make a federation: its authority, its aggregator's identity and settings, its first operator.

    Returns:
        The authority's fingerprint, SHA-256 in hexadecimal.

    Raises:
        ConfigError: There is one in the directory already; it is left alone.
        StorageError: The directory cannot be written. Nothing is left behind then.
    """
    from hanse.storage.journal_sql import SqlJournal

    for name in (AUTHORITY, AGGREGATOR_FILE, OPERATOR, JOURNAL):
        if (directory / name).exists():
            raise ConfigError(
                f"{directory} already holds a federation: there is {name} in it",
                mend="Choose another directory.",
            )
    with staged(directory) as stage:
        authority = Authority.create(settings.federation, now(), _AUTHORITY_LIFETIME)
        authority.save(stage / AUTHORITY)
        write_file(stage / AGGREGATOR_FILE, settings_yaml(settings).encode())
        certify(stage, settings, authority, now())
        with closing(SqlJournal(stage / JOURNAL)) as journal:
            enrol_operator(stage, settings, _registry(settings, journal, authority), now())
    return authority.fingerprint


@dataclass(frozen=True, slots=True)
class RunningAggregator:
    """An aggregator that serves.

    Attributes:
        settings: Its settings.
        port: TCP port that it listens on.
        fingerprint: Of the federation's authority, SHA-256 in hexadecimal.
        sites: Number of collaborators that are enrolled.
    """

    settings: AggregatorSettings
    port: int
    fingerprint: str
    sites: int


@asynccontextmanager
async def aggregator(directory: Path) -> AsyncIterator[RunningAggregator]:
    """Run the aggregator of a federation's directory for as long as the block takes.

    Raises:
        ConfigError: The settings are wrong, the port is taken, or workers cannot be confined as required.
        StorageError: Another aggregator uses the directory, or it is damaged or cannot be written.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(DirectoryLock(directory))
        parts = stack.enter_context(_opened(directory))
        if parts.settings.sandbox == "required" and not (confined := await available()).files:
            raise ConfigError(
                f"{AGGREGATOR_FILE} requires a sandbox, which this machine lacks: {'; '.join(confined.gaps)}",
                mend="Set `sandbox: preferred`, or run on a machine where `hanse doctor` finds one.",
            )
        service, context = parts.service, server_context(parts.credentials)
        stack.push_async_callback(service.close)
        await service.start()
        listen, connections = parts.settings.listen, parts.settings.limits.connections
        limits = Limits(connections=connections, worth_lending=tuning.current.worth_lending)
        server = HttpsServer(service, context, listen.host, listen.port, limits)
        stack.push_async_callback(server.close)
        await server.start()
        keeping = asyncio.create_task(_keep_identities(parts, context))
        stack.callback(keeping.cancel)
        sites = len(parts.registry.membership.names(Role.COLLABORATOR))
        yield RunningAggregator(parts.settings, server.port, parts.authority.fingerprint, sites)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the directory of a federation holds, opened."""

    directory: Path
    settings: AggregatorSettings
    authority: Authority
    registry: Registry
    credentials: Credentials
    service: AggregatorService


@contextmanager
def _opened(directory: Path) -> Iterator[_Parts]:
    """Open a federation's directory, which this process holds; the service in it is not started."""
    from hanse.aggregator.options import Options
    from hanse.aggregator.service import AggregatorService
    from hanse.storage.journal_sql import SqlJournal

    directory = directory.absolute()  # workers are told of it, and stand elsewhere
    settings = load_aggregator(directory)
    authority = Authority.load(directory / AUTHORITY)
    if settings.federation != authority.federation:
        raise ConfigError(
            f"{AGGREGATOR_FILE} says `federation: {settings.federation}`, and the authority beside it is "
            f"that of {authority.federation}",
            mend="A federation keeps the name it was created with: correct the file.",
        )
    with closing(SqlJournal(directory / JOURNAL)) as journal:
        registry = _registry(settings, journal, authority)
        # At every start: so an expired one is no trouble, and `hosts` counts as it now stands.
        credentials = certify(directory, settings, authority, now())
        renew_operator(directory, registry, now())
        options = Options(
            directory=directory,
            url=settings.url,
            max_blob=settings.limits.max_blob,
            disk_reserve=settings.disk_reserve,
            worker=_worker_limits(directory, settings),
        )
        blobs = FileBlobStore(directory, spare_from=tuning.current.spare_from)
        service = AggregatorService(options, credentials, registry, journal, blobs, now, _token_id)
        yield _Parts(directory, settings, authority, registry, credentials, service)


def _registry(settings: AggregatorSettings, journal: Journal, authority: Authority) -> Registry:
    lifetimes = Lifetimes(
        collaborator=timedelta(seconds=settings.certificates.collaborators),
        operator=timedelta(seconds=settings.certificates.operators),
    )
    return Registry(journal, authority, lifetimes=lifetimes, clock=now)


def _token_id() -> str:
    return secrets.token_hex(16)


def _worker_limits(directory: Path, settings: AggregatorSettings) -> WorkerLimits:
    private = (directory / AUTHORITY / "ca.key", directory / IDENTITY / KEY_FILE, directory / JOURNAL)

    def limits(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
        worker = settings.worker
        return Confinement(
            read=read, write=write, network=worker.network, memory_bytes=worker.memory, secrets=private
        )

    return limits


async def _keep_identities(parts: _Parts, context: ssl.SSLContext) -> None:
    """Renew the aggregator's own certificate and that of the operator at home, long before they end."""
    lifetimes = parts.settings.certificates
    while True:
        await asyncio.sleep(min(86_400.0, RENEW_AT * min(lifetimes.aggregator, lifetimes.operators)))
        try:
            credentials = await asyncio.to_thread(
                certify, parts.directory, parts.settings, parts.authority, now()
            )
            present(context, credentials)
            parts.service.present(credentials)
            await asyncio.to_thread(renew_operator, parts.directory, parts.registry, now())
        except HanseError as error:
            logger.error("a certificate could not be renewed, which is tried again: %s", error)


# ----------------------------------------------------------------------------- site


def agent(directory: Path) -> Agent:
    """The agent of a site's directory.

    Raises:
        ConfigError: The settings are missing or wrong.
        CredentialError: The site's key and certificate are missing, expired or foreign.
    """
    from hanse.collaborator.agent import Agent
    from hanse.collaborator.premises import Premises

    directory = directory.absolute()  # workers are told of it, and stand elsewhere
    settings = load_site(directory)
    credentials = Credentials.load(directory / IDENTITY, now())
    upstream = site_upstream(settings, credentials)
    identity = Identity(
        credentials,
        renew_at=settings.renew_at,
        clock=now,
        present=lambda renewed: upstream.set_ssl_context(client_context(renewed)),
    )
    chosen = tuning.current
    # Not durable: all that comes can be had again.
    blobs = FileBlobStore(directory, durable=False, spare_from=chosen.spare_from)
    premises = Premises(
        directory=directory,
        settings=settings,
        identity=identity,
        upstream=upstream,
        blobs=blobs,
        clock=now,
        retry=replace(chosen.retry, upgrade_s=chosen.upgrade_s),
        first_sign_s=chosen.first_sign_s,
    )
    return Agent(premises)


def site_upstream(settings: SiteSettings, credentials: Credentials) -> HttpsUpstream:
    """The aggregator of a site, asked in the name of these credentials; one try a call."""
    return _upstream(settings, client_context(credentials))


# ------------------------------------------------------------------------- operator


@asynccontextmanager
async def control_client(directory: Path, *, on_retry: OnRetry = tell_nobody) -> AsyncIterator[ControlClient]:
    """Speak to a running aggregator as an operator, whose certificate is renewed where that is due.

    Args:
        directory: Of a federation, or of an operator who joined one.
        on_retry: Told of each try that failed and is made again; see `Retry`.

    Raises:
        ConfigError: There is no operator in the directory.
        CredentialError: Its certificate is missing, expired or foreign.
    """
    settings, context = await _operator(directory)
    retry = replace(tuning.current.retry, on_retry=on_retry)
    async with ControlClient(settings.aggregator, context, proxy=settings.proxy, retry=retry) as client:
        yield client


@asynccontextmanager
async def administration(directory: Path) -> AsyncIterator[Administration]:
    """Administer the members of a federation.

    Args:
        directory: Of the federation, or of an operator who joined it.

    Raises:
        ConfigError: There is neither in the directory.
        TransportError: The service runs elsewhere and cannot be reached.
        StorageError: It runs here and does not answer, or the directory is damaged or cannot be written.
    """
    async with AsyncExitStack() as stack:
        yield Administration(await _way_to_members(directory, stack))


async def _way_to_members(directory: Path, stack: AsyncExitStack) -> Ask:
    held = None
    if (directory / AGGREGATOR_FILE).exists():
        try:
            stack.enter_context(DirectoryLock(directory))
        except StorageError as error:  # by the running service, most likely
            held = error
        else:
            return _ask_stopped(stack.enter_context(_opened(directory)))
    return await _ask_service(directory, stack, instead_of=held)


def _ask_stopped(parts: _Parts) -> Ask:
    operator = Party(parts.settings.federation, Role.OPERATOR, OPERATOR)

    async def ask(route: Route[Q, A], message: Q, **params: str) -> A:
        return await route.serve(Call(parts.service, operator, params, message))

    return ask


async def _ask_service(directory: Path, stack: AsyncExitStack, *, instead_of: StorageError | None) -> Ask:
    settings, context = await _operator(directory)
    connection = HttpsConnection(settings.aggregator, context, proxy=settings.proxy)
    await stack.enter_async_context(connection)

    async def ask(route: Route[Q, A], message: Q, **params: str) -> A:
        try:
            return await connection.call(route, message, wait_s=0.0, **params)
        except TransportError as error:
            raise instead_of or error from None

    return ask


async def _operator(directory: Path) -> tuple[OperatorSettings, ssl.SSLContext]:
    """The operator of a directory, with a certificate that is good for some time yet."""
    home = operator_directory(directory)
    settings = load_operator(home)
    credentials = Credentials.load(home / IDENTITY, now())
    context = client_context(credentials)
    identity = Identity(
        credentials, renew_at=RENEW_AT, clock=now, present=lambda renewed: present(context, renewed)
    )
    upstream = _upstream(settings, context)
    try:
        await identity.renew_if_due(upstream)
    finally:
        await upstream.close()
    return settings, context


def _upstream(settings: SiteSettings | OperatorSettings, context: ssl.SSLContext) -> HttpsUpstream:
    return HttpsUpstream(settings.aggregator, context, proxy=settings.proxy, patience=tuning.current.patience)


def operator_directory(directory: Path) -> Path:
    """Where the operator is at home: in the directory of a federation, or in one of its own.

    Raises:
        ConfigError: There is no operator in either.
    """
    for home in (directory / OPERATOR, directory):
        if (home / OPERATOR_FILE).exists():
            return home
    raise ConfigError(
        f"there is neither a federation nor an operator of one in {directory.absolute()}",
        mend="Name the directory with --directory or HANSE_FEDERATION; `hanse federation create` makes one.",
    )
