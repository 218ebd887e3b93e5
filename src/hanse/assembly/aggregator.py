"""Composition of an aggregator: service, server, journal, blobs."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.members.own_certificates import (
    RENEW_AT,
    certify,
    renew_operator,
    settle_operator_key,
)
from hanse.assembly import tuning
from hanse.assembly.attested.attester import secret_places
from hanse.assembly.attested.evidence import evidence_options
from hanse.assembly.attested.sealing import sealing_of
from hanse.assembly.federation import _registry, logger
from hanse.assembly.tuning import now
from hanse.config.layout import AUTHORITY, IDENTITY, JOURNAL, OPERATOR
from hanse.config.settings import AGGREGATOR_FILE, AggregatorSettings, load_aggregator
from hanse.core.values.identity import Role
from hanse.errors import ConfigError, HanseError
from hanse.files.lock import DirectoryLock
from hanse.pki.authority import Authority
from hanse.pki.credentials import KEY_FILE, Credentials
from hanse.pki.signing_key import SIGNING_KEY_FILE
from hanse.pki.tls import present, server_context
from hanse.sandbox.confine import Confinement, default_processes
from hanse.sandbox.probe import available
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.server.open_files import MORE_FILES, raise_limit, room_under, soft_limit, too_few_files
from hanse.transport.server.server import ConnectionLimits, HttpsServer

if TYPE_CHECKING:
    from hanse.aggregator.run_worker.supervisor import MakeConfinement
    from hanse.aggregator.service import AggregatorService


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
        if parts.settings.sandbox == "required" and not (confined := await available()).locked_in():
            raise ConfigError(
                f"{AGGREGATOR_FILE} requires a sandbox, which this machine lacks: {'; '.join(confined.gaps)}",
                mend="Set `sandbox: preferred`, or run on a machine where `hanse doctor` finds one.",
            )
        service, context = parts.service, server_context(parts.credentials)
        stack.push_async_callback(service.close)
        await service.start()
        listen, limits = parts.settings.listen, _connection_limits(parts.settings)
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
    registry: MemberRegistry
    credentials: Credentials
    service: AggregatorService


@contextmanager
def _opened(directory: Path) -> Iterator[_Parts]:
    """Open a federation's directory, which this process holds; the service in it is not started."""
    from hanse.aggregator.blobs.retention import KeptModels
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
        evidence, sealing = sealing_of(directory, settings, evidence_options(settings.attestation))
        options = Options(
            directory=directory,
            url=settings.url,
            max_blob=settings.limits.max_blob,
            disk_reserve=settings.disk_reserve,
            worker=_worker_limits(directory, settings),
            kept_models=KeptModels(settings.retention.models),
            evidence=evidence,
            sealing=sealing,
        )
        blobs = FileBlobStore(directory, recycle_from=tuning.current.recycle_from)
        service = AggregatorService(options, credentials, registry, journal, blobs, now, _token_id)
        if service.restore is None:
            renew_operator(directory, registry, now())
            settle_operator_key(directory, registry)
        try:
            yield _Parts(directory, settings, authority, registry, credentials, service)
        finally:
            service.evidence.machine.close()


def _connection_limits(settings: AggregatorSettings) -> ConnectionLimits:
    """As many connections as the settings permit and as there are files for.

    Raises:
        ConfigError: There are files for no connection at all.
    """
    wanted, room = settings.limits.connections, room_under(raise_limit())
    if room.connections < 1:
        raise ConfigError(f"this process may open {room.files} files, too few to serve", mend=MORE_FILES)
    if room.connections < wanted:
        logger.warning("%s. %s", too_few_files(wanted, room), MORE_FILES)
    return ConnectionLimits(
        connections=min(wanted, room.connections),
        strangers=room.strangers,
        worth_lending=tuning.current.worth_lending,
    )


def _token_id() -> str:
    return secrets.token_hex(16)


def _worker_limits(directory: Path, settings: AggregatorSettings) -> MakeConfinement:
    open_files = soft_limit()  # before it is raised, which is for connections
    operator = directory / OPERATOR / IDENTITY
    private = (
        directory / AUTHORITY / "ca.key",
        directory / IDENTITY / KEY_FILE,
        operator / KEY_FILE,
        operator / SIGNING_KEY_FILE,
        directory / JOURNAL,
        *secret_places(settings.attestation.own),
    )

    def limits(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
        worker = settings.worker
        return Confinement(
            read=read,
            write=write,
            network=worker.network,
            memory_bytes=worker.memory,
            processes=worker.processes or default_processes(),
            disk_reserve=settings.disk_reserve,
            open_files=open_files,
            secrets=private,
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
            if parts.service.restore is None:
                await asyncio.to_thread(renew_operator, parts.directory, parts.registry, now())
        except HanseError as error:
            logger.error("a certificate could not be renewed, which is tried again: %s", error)
