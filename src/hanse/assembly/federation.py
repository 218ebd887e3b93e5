"""Composition of a new federation: authority, aggregator's identity, first operator."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.aggregator.members.member_registry import CertificateLifetimes, MemberRegistry
from hanse.aggregator.members.own_certificates import certify, enrol_operator
from hanse.assembly.tuning import now
from hanse.config.layout import AUTHORITY, JOURNAL, OPERATOR
from hanse.config.settings import (
    AGGREGATOR_FILE,
    AggregatorSettings,
    settings_yaml,
)
from hanse.errors import ConfigError
from hanse.files.atomic import write_file
from hanse.files.staging import staged
from hanse.pki.authority import Authority

if TYPE_CHECKING:
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


def _registry(settings: AggregatorSettings, journal: Journal, authority: Authority) -> MemberRegistry:
    lifetimes = CertificateLifetimes(
        collaborator=timedelta(seconds=settings.certificates.collaborators),
        operator=timedelta(seconds=settings.certificates.operators),
    )
    return MemberRegistry(journal, authority, lifetimes=lifetimes, clock=now)
