"""The identities at home in a federation's directory, where the authority is at hand to renew them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.config.layout import IDENTITY, OPERATOR
from hanse.config.settings import OPERATOR_FILE, AggregatorSettings, OperatorSettings, settings_yaml
from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError, StorageError
from hanse.files.atomic import write_file
from hanse.pki.authority import Authority
from hanse.pki.certificates import load_certificate, peer_of, pem_of
from hanse.pki.credentials import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import load_key, new_key
from hanse.pki.signing_key import SigningKey
from hanse.pki.signing_key_files import is_settled, key_to_use, put_in_place

logger = logging.getLogger(__name__)

RENEW_AT = 1 / 3
"""Part of a certificate's life that is left when it is renewed."""

_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


def certify(
    directory: Path, settings: AggregatorSettings, authority: Authority, now: datetime
) -> Credentials:
    """Give the aggregator a new key and certificate, also where its last one expired.

    Args:
        directory: Of the federation.
        settings: Say at which hosts the certificate is good, and for how long.
        authority: The federation's.
        now: The time, with its zone.

    Raises:
        CredentialError: The files of the last one are damaged, or another party's.
        StorageError: The new ones cannot be written; the last are as they were.
    """
    key, party = new_key(), Party(settings.federation, Role.AGGREGATOR, settings.name)
    lifetime = timedelta(seconds=settings.certificates.aggregator)
    certificate = pem_of(
        authority.issue(key.public_key(), party, now=now, lifetime=lifetime, hosts=settings.hosts)
    )
    identity = directory / IDENTITY
    if (identity / CERTIFICATE_FILE).exists():
        return _stored(identity).replace_certificate(certificate, now, key)
    return Credentials.save_new(identity, key, certificate, pem_of(authority.certificate), now)


def enrol_operator(
    directory: Path, settings: AggregatorSettings, registry: MemberRegistry, now: datetime
) -> None:
    """Make the operator who is at home in the federation's directory."""
    home = directory / OPERATOR
    key, party = new_key(), Party(settings.federation, Role.OPERATOR, OPERATOR)
    signing_key = SigningKey.create()
    signing_key.save(home / IDENTITY)
    request, enrolment = request_certificate(key, party), enrolment_of(signing_key, party)
    _, issued = registry.sign(party.name, party.role, request, enrolment)
    Credentials.save_new(home / IDENTITY, key, issued.certificate, issued.authority, now)
    # Straight to the port here: the federation's `url` may be known outside only.
    host = "localhost" if settings.listen.host in _EVERY_ADDRESS else settings.listen.host
    operator = OperatorSettings(
        name=party.name,
        federation=party.federation,
        aggregator=f"https://{f'[{host}]' if ':' in host else host}:{settings.listen.port}",
        proxy=None,
    )
    write_file(home / OPERATOR_FILE, settings_yaml(operator).encode())


def renew_operator(directory: Path, registry: MemberRegistry, now: datetime) -> None:
    """Renew the certificate of the operator at home where that is due, also an expired one."""
    identity = directory / OPERATOR / IDENTITY
    if not (identity / CERTIFICATE_FILE).exists():
        return
    old = _stored(identity)
    if old.fraction_left(now) >= RENEW_AT:
        return
    peer, request = peer_of(old.certificate), request_certificate(old.key, old.party)
    try:
        issued = registry.renew(peer, request)
    except CredentialError as error:
        logger.warning("the certificate in %s is not renewed: %s", identity, error)
        return
    old.replace_certificate(issued.certificate, now)


def settle_operator_key(directory: Path, registry: MemberRegistry) -> None:
    """Record the signing key of the operator at home; in a federation of before 0.2, the key is made now."""
    identity = directory / OPERATOR / IDENTITY
    if not (identity / CERTIFICATE_FILE).exists() or is_settled(identity):
        return
    try:
        party = _stored(identity).party
        recorded = registry.membership.member(party.name, party.role).signing_key
        key = key_to_use(identity, recorded)
        if recorded is None:
            registry.record_signing_key(party, enrolment_of(key, party))
            told = "%s has a signing key from now on: %s, in words: %s"
            logger.warning(told, party.uri, key.fingerprint, key.words)
        put_in_place(identity, key)
    except (CredentialError, StorageError) as error:
        logger.warning("the signing key in %s cannot be used: %s", identity, error)


def _stored(identity: Path) -> Credentials:
    """What is on the disk, expired or not."""
    return Credentials(
        identity,
        load_key(identity / KEY_FILE),
        load_certificate(identity / CERTIFICATE_FILE),
        load_certificate(identity / AUTHORITY_FILE),
    )
