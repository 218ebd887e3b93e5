"""Joining a federation, with an invitation or by files that are carried: all of it, or nothing."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path

from hanse.assembly import tuning
from hanse.assembly.tuning import now
from hanse.config.document import Document
from hanse.config.layout import IDENTITY
from hanse.config.settings import (
    OPERATOR_FILE,
    SITE_FILE,
    OperatorSettings,
    SiteSettings,
    load_operator,
    load_site,
    settings_yaml,
)
from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError, CredentialError, MissingDataError
from hanse.files.atomic import read_file, write_file
from hanse.files.staging import staged
from hanse.pki.certificates import fingerprint, party_of, pem_of, read_certificate
from hanse.pki.clock_skew import skew
from hanse.pki.credentials import CERTIFICATE_FILE, KEY_FILE, Credentials
from hanse.pki.enrolment import Invitation, read_token, request_certificate
from hanse.pki.enrolment_file import write_request
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import load_key, new_key, save_key
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import is_settled, next_key
from hanse.pki.tls import pinned_context, unverified_context
from hanse.transport.api.common_routes import HELLO
from hanse.transport.api.member_routes import AUTHORITY, ENROL
from hanse.transport.client.address import FROM_ENVIRONMENT
from hanse.transport.client.connection import HttpsConnection
from hanse.transport.client.retry import OnRetry, retrying, tell_nobody
from hanse.wire.messages.basics import Empty, Hello
from hanse.wire.messages.members import Certificates, EnrolRequest

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


Settings = SiteSettings | OperatorSettings


@dataclass(frozen=True, slots=True)
class Joined:
    """A party that joined.

    Attributes:
        party: Who joined.
        authority: Fingerprint of the federation's authority, SHA-256 in hexadecimal.
        key: The party's signing key.
    """

    party: Party
    authority: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A party that joins, as its settings will say it.

    Attributes:
        party: Who it is.
        url: Where its aggregator is.
        data: `NAME=PATH` of each data source.
        proxy: What to reach the aggregator through; `env` and None as in the settings.
    """

    party: Party
    url: str
    data: tuple[str, ...]
    proxy: str | None


def join_with_token(
    directory: Path,
    token: str,
    data: tuple[str, ...],
    proxy: str | None,
    *,
    on_retry: OnRetry = tell_nobody,
) -> Joined:
    """Trade an invitation for a certificate.

    Args:
        directory: Of the party; made if it does not exist.
        token: The invitation.
        data: `NAME=PATH` of each data source.
        proxy: As in the settings.
        on_retry: Called before each wait for an aggregator that does not answer yet.

    Raises:
        TokenError: The invitation is damaged, expired or used.
        CredentialError: The directory holds credentials already, or another authority answers.
        ConfigError: A data source is missing, settings in the directory are for something else, or the
            clock is wrong.
        TransportError: The aggregator cannot be reached.
    """
    invitation = read_token(token)
    _check_free(directory)
    # The network comes last: once the invitation is used, nothing here should fail any more.
    with staged(directory) as stage:
        _write_settings(stage, directory, Newcomer(invitation.party, invitation.url, data, proxy))
        key, signing_key = new_key(), _signing_key(directory, stage)
        request = EnrolRequest(
            token=token.strip(),
            csr=request_certificate(key, invitation.party),
            enrolment=enrolment_of(signing_key, invitation.party),
        )
        certificate, authority = asyncio.run(_enrol(invitation, request, proxy, on_retry))
        _check_party(certificate, invitation.party)
        credentials = Credentials.save_new(stage / IDENTITY, key, certificate, authority, now())
        return _joined(credentials, signing_key)


def request_by_hand(directory: Path, newcomer: Newcomer, output: Path) -> SigningKey:
    """Make a party's keys and write the request for its certificate, for `hanse federation sign`.

    Returns:
        The party's signing key.

    Raises:
        CredentialError: The directory holds credentials or a request already.
        ConfigError: As for `join_with_token`.
    """
    _check_free(directory)
    with staged(directory) as stage:
        _write_settings(stage, directory, newcomer)
        key, signing_key = new_key(), _signing_key(directory, stage)
        save_key(stage / IDENTITY / KEY_FILE, key)
        csr, enrolment = (
            request_certificate(key, newcomer.party),
            enrolment_of(signing_key, newcomer.party),
        )
        write_file(output, write_request(csr, enrolment).encode())
    return signing_key


def join_with_certificate(directory: Path, file: Path) -> Joined:
    """Finish a request with the certificate that came back, and that of the authority in the same file.

    Raises:
        CredentialError: The file holds something else, or a certificate for another party or key.
        ConfigError: There was no request from this directory.
    """
    found = _CERTIFICATE.findall(read_file(file).decode(errors="replace"))
    if len(found) != 2:
        raise CredentialError(
            f"{file} should hold two certificates, a party's and its authority's, and holds {len(found)}",
            mend="Use the file that `hanse federation sign` wrote.",
        )
    certificate, authority = found
    role = Role.OPERATOR if (directory / OPERATOR_FILE).exists() else Role.COLLABORATOR
    settings = _load_settings(directory, role)
    _check_party(certificate, Party(settings.federation, role, settings.name))
    identity = directory / IDENTITY
    key = load_key(identity / KEY_FILE)
    # A request of before 0.2 had no signing key: it is recorded when the agent, or a command, first asks.
    signing_key = SigningKey.load(identity) if is_settled(identity) else next_key(identity)
    return _joined(Credentials.save_new(identity, key, certificate, authority, now()), signing_key)


def _signing_key(directory: Path, stage: Path) -> SigningKey:
    """The signing key that a party keeps which joins again; else a new one, in the stage."""
    if (directory / IDENTITY / SIGNING_KEY_FILE).exists():
        return SigningKey.load(directory / IDENTITY)
    key = SigningKey.create()
    key.save(stage / IDENTITY)
    return key


async def _enrol(
    invitation: Invitation, request: EnrolRequest, proxy: str | None, on_retry: OnRetry
) -> tuple[str, str]:
    # A service that was started a moment ago may still be starting; the invitation is not used yet.
    retry = replace(tuning.current.joining, on_retry=on_retry)
    authority = await retrying(lambda: fetch_authority(invitation, proxy=proxy), retry)
    async with HttpsConnection(invitation.url, pinned_context(authority), proxy=proxy) as connection:
        _check_clock(await connection.call(HELLO, Empty()))
    issued = await enrol(invitation.url, authority, request, proxy=proxy)
    # The authority that the invitation names, not the one that the reply does.
    return issued.certificate, authority


def _check_clock(hello: Hello) -> None:
    """Refuse to use the invitation up for a certificate that would not be valid by the clock here."""
    clock = skew(hello, now().timestamp())
    if clock.breaks_certificates:
        raise ConfigError(
            f"this machine's clock is {abs(clock.ahead_s) / 60:.0f} minutes from the aggregator's",
            mend="Set the one that is wrong, best by NTP, and join with the same invitation.",
        )


def _joined(credentials: Credentials, key: SigningKey) -> Joined:
    return Joined(credentials.party, fingerprint(credentials.authority), key)


def _check_free(directory: Path) -> None:
    identity = directory / IDENTITY
    if (identity / CERTIFICATE_FILE).exists():
        raise CredentialError(
            f"{identity} already holds the credentials of a party",
            mend=f"Choose another directory with --site. To join again, move {KEY_FILE} and "
            f"{CERTIFICATE_FILE} away and leave {SIGNING_KEY_FILE} there, which the party keeps.",
        )
    if (identity / KEY_FILE).exists():
        raise CredentialError(
            f"{identity} holds the key of a request that was not finished",
            mend=f"Finish it with `hanse join --certificate FILE`, or remove {identity / KEY_FILE} to begin "
            "again.",
        )


def _check_party(certificate: str, party: Party) -> None:
    named = party_of(read_certificate(certificate))
    if named != party:
        raise CredentialError(
            f"the certificate is that of {named.uri}, and {party.uri} is to join here",
            mend="Ask the federation's operator for one in the right name.",
        )


def _write_settings(stage: Path, directory: Path, newcomer: Newcomer) -> None:
    """Write a newcomer's settings; those that are in its directory already have to fit."""
    role = newcomer.party.role
    file = OPERATOR_FILE if role is Role.OPERATOR else SITE_FILE
    said: dict[str, object] = {
        "name": newcomer.party.name,
        "federation": newcomer.party.federation,
        "aggregator": newcomer.url.rstrip("/"),
    }
    if (directory / file).exists():
        _check_same(directory / file, _load_settings(directory, role), said)
        if newcomer.data:
            raise ConfigError(
                f"{directory / file} is there already", mend="Name data sources in it, not here."
            )
        return
    said["proxy"] = newcomer.proxy
    if newcomer.data:
        said["data"] = dict(map(_source, newcomer.data))
    document = Document("hanse join", said, {}, ConfigError)
    operates = role is Role.OPERATOR
    settings = document.check(OperatorSettings) if operates else document.check(SiteSettings)
    write_file(stage / file, settings_yaml(settings).encode())


def _load_settings(directory: Path, role: Role) -> Settings:
    return load_operator(directory) if role is Role.OPERATOR else load_site(directory)


def _check_same(file: Path, there: Settings, wanted: dict[str, object]) -> None:
    for key, value in wanted.items():
        if getattr(there, key) != value:
            raise ConfigError(
                f"{file} says `{key}: {getattr(there, key)}`, and this is for {value}",
                mend="Correct the file, or choose another directory with --site.",
            )


def _source(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise ConfigError(f"{text!r} is not a data source", mend="Write it like --data xrays=/srv/xrays.")
    found = Path(path).expanduser().absolute()
    try:
        found.stat()
    except OSError as error:
        raise MissingDataError(
            f"cannot find the data source {name} at {found}: {error.strerror}", mend="Check the path."
        ) from error
    return name, str(found)


async def fetch_authority(invitation: Invitation, *, proxy: str | None = FROM_ENVIRONMENT) -> str:
    """Fetch the authority's certificate from nobody trusted yet, and check it.

    Returns:
        PEM of the one certificate whose fingerprint the invitation carries.

    Raises:
        CredentialError: What came is another.
    """
    async with HttpsConnection(invitation.url, unverified_context(), proxy=proxy) as connection:
        pem = (await connection.read(AUTHORITY)).decode("ascii", errors="replace")
    return pem_of(invitation.pin(pem))


async def enrol(
    url: str, ca_pem: str, request: EnrolRequest, *, proxy: str | None = FROM_ENVIRONMENT
) -> Certificates:
    """Trade a token for a certificate, with an aggregator that this authority vouches for.

    Raises:
        TokenError: The token is expired, used or another federation's.
        CredentialError: Whoever answers is not of this authority's federation.
    """
    async with HttpsConnection(url, pinned_context(ca_pem), proxy=proxy) as connection:
        return await connection.call(ENROL, request)
