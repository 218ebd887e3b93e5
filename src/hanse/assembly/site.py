"""Composition of a site's agent and of its way to the aggregator."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.assembly import tuning
from hanse.assembly.attested.evidence import evidence_options
from hanse.assembly.tuning import now
from hanse.collaborator.identity import Identity
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.layout import IDENTITY, SEALED
from hanse.config.settings import OperatorSettings, SiteSettings, load_site
from hanse.pki.credentials import Credentials
from hanse.pki.tls import client_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.upstream import HttpsUpstream

if TYPE_CHECKING:
    from hanse.collaborator.agent import Agent


# ----------------------------------------------------------------------------- site


def agent(directory: Path) -> Agent:
    """The agent of a site's directory.

    Raises:
        ConfigError: The settings are missing or wrong.
        CredentialError: The site's key and certificate are missing, expired or foreign.
    """
    from hanse.collaborator.agent import Agent
    from hanse.collaborator.context import SiteContext

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
    blobs = FileBlobStore(directory, durable=False, recycle_from=chosen.recycle_from)
    context = SiteContext(
        directory=directory,
        settings=settings,
        identity=identity,
        upstream=upstream,
        blobs=blobs,
        journal=SiteJournal(directory, credentials.party, now),
        clock=now,
        retry_policy=replace(chosen.retry, upgrade_s=chosen.upgrade_s),
        first_sign_s=chosen.first_sign_s,
        evidence=evidence_options(settings.attestation),
        memory=None if settings.sealed_memory is None else directory / SEALED,
    )
    return Agent(context)


def site_upstream(settings: SiteSettings, credentials: Credentials) -> HttpsUpstream:
    """The aggregator of a site, asked in the name of these credentials; one try a call."""
    return upstream_of(settings, client_context(credentials))


def upstream_of(settings: SiteSettings | OperatorSettings, context: ssl.SSLContext) -> HttpsUpstream:
    """The aggregator of a site or an operator, over connections of this kind; one try a call."""
    return HttpsUpstream(settings.aggregator, context, proxy=settings.proxy, patience=tuning.current.patience)
