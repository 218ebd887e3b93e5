"""Additions to the deny list of a party, signed with the party's key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hanse.config.layout import IDENTITY
from hanse.config.settings import load_aggregator, load_site
from hanse.control.appraisal.deny_list import DENY_FILE, Denied, DenyEntry, DenyList, DenyOwner, Signed
from hanse.control.appraisal.options import ATTESTATION
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import ConfigError
from hanse.pki.credentials import Credentials
from hanse.pki.deny_lists import DENY_LIST, check_aggregator_list, check_own_list
from hanse.pki.signatures import sign
from hanse.pki.signing_key import SigningKey
from hanse.pki.signing_key_files import own_keys


def deny_at_site(directory: Path, entries: Sequence[DenyEntry], now: datetime) -> Denied:
    """Add to the deny list of a site; its agent need not be stopped.

    Args:
        directory: The site's folder.
        entries: What to refuse from now on.
        now: The time, with its zone.

    Raises:
        ConfigError: The folder is not a site's, or the list is full.
        CredentialError: The site's key is missing or damaged.
        TamperedError: The list is damaged.
        StorageError: The disk refuses.
    """
    settings = load_site(directory)
    party = Credentials.load(directory / IDENTITY, now).party
    key = SigningKey.load(directory / IDENTITY)

    def verify(statement: Signed) -> None:
        check_own_list(statement, lambda: own_keys(directory / IDENTITY, party))

    owner = DenyOwner(settings.federation, "collaborator", settings.name, verify)
    listed = DenyList(directory / ATTESTATION / DENY_FILE, owner)
    return listed.add(entries, partial(key.sign, DENY_LIST))


def deny_at_aggregator(directory: Path, entries: Sequence[DenyEntry], now: datetime) -> Denied:
    """Add to the deny list of an aggregator; as `deny_at_site`.

    Args:
        directory: The federation's folder.
        entries: What to refuse from now on.
        now: The time, with its zone.
    """
    settings = load_aggregator(directory)
    if not (directory / IDENTITY).is_dir():
        raise ConfigError(
            f"the aggregator in {directory} has no certificate yet, with which it signs",
            mend="Start it once: `hanse aggregator start`.",
        )
    credentials = Credentials.load(directory / IDENTITY, now)

    def signed(body: dict[str, Any]) -> CertifiedStatement:
        return CertifiedStatement(body=body, **sign(credentials, DENY_LIST, body).model_dump())

    verify = partial(check_aggregator_list, authority=credentials.authority)
    owner = DenyOwner(settings.federation, "aggregator", settings.name, verify)
    return DenyList(directory / ATTESTATION / DENY_FILE, owner).add(entries, signed)
