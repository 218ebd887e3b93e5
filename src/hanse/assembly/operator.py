"""Composition of an operator's clients: of a running aggregator, and of a stopped one's folder."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hanse.aggregator.members.own_certificates import RENEW_AT
from hanse.assembly import tuning
from hanse.assembly.aggregator import _opened, _Parts
from hanse.assembly.site import upstream_of
from hanse.assembly.tuning import now
from hanse.collaborator.identity import Identity
from hanse.config.layout import IDENTITY, OPERATOR
from hanse.config.settings import AGGREGATOR_FILE, OPERATOR_FILE, OperatorSettings, load_operator
from hanse.control.administration import Administration, Ask
from hanse.control.client import ControlClient
from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError, StorageError, TransportError
from hanse.files.lock import LOCK_FILE, DirectoryLock
from hanse.pki.certificates import peer_of
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key_files import is_settled
from hanse.pki.tls import client_context, present
from hanse.transport.api.route import A, Call, Q, Route
from hanse.transport.client.connection import HttpsConnection
from hanse.transport.client.retry import OnRetry, tell_nobody

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
        TransportError: The service runs here or elsewhere, and cannot be reached or does not answer yet.
        StorageError: The directory is damaged or cannot be written.
    """
    async with AsyncExitStack() as stack:
        yield Administration(await way_to_members(directory, stack))


async def way_to_members(
    directory: Path, stack: AsyncExitStack, prepare: Callable[[_Parts], None] = lambda _: None
) -> Ask:
    """The way to an aggregator's service: over the network or, where it is stopped, in its folder.

    Args:
        directory: Of the federation, or of an operator who joined it.
        stack: Closes what is opened.
        prepare: Given the opened folder of a stopped aggregator.

    Raises:
        HanseError: As `administration`.
    """
    held: StorageError | None = None
    if (directory / AGGREGATOR_FILE).exists():
        try:
            stack.enter_context(DirectoryLock(directory))
        except StorageError as error:  # by the running service, most likely
            held = error
        else:
            parts = stack.enter_context(_opened(directory))
            prepare(parts)
            return _ask_stopped(parts)
    return await _ask_service(directory, stack, held=held)


def _ask_stopped(parts: _Parts) -> Ask:
    # There is no connection: the holder of the directory has the aggregator's own certificate in hand.
    party = Party(parts.settings.federation, Role.OPERATOR, OPERATOR)
    operator = replace(peer_of(parts.credentials.certificate), party=party)

    async def ask(route: Route[Q, A], message: Q, **params: str) -> A:
        return await route.serve(Call(parts.service, operator, params, message))

    return ask


async def _ask_service(directory: Path, stack: AsyncExitStack, *, held: StorageError | None) -> Ask:
    settings, context = await _operator(directory)
    connection = HttpsConnection(settings.aggregator, context, proxy=settings.proxy)
    await stack.enter_async_context(connection)

    async def ask(route: Route[Q, A], message: Q, **params: str) -> A:
        try:
            return await connection.call(route, message, wait_s=0.0, **params)
        except TransportError as error:
            if held is None:
                raise
            if not os.access(directory / LOCK_FILE, os.W_OK):  # no process may hold it
                raise held from None
            raise TransportError(
                f"the aggregator of {directory} is starting, or does not answer: {error.message}",
                mend="Its log says when it is ready. If it stays silent, `hanse doctor` finds out more.",
            ) from error

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
    upstream = upstream_of(settings, context)
    try:
        with suppress(StorageError):  # the aggregator records nothing now; there is time
            await identity.renew_if_due(upstream)
            if not is_settled(home / IDENTITY):  # of before 0.2
                await identity.settle_signing_key(upstream)
    finally:
        await upstream.close()
    return settings, context


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
