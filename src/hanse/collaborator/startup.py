"""Checks that an agent makes of its settings before it connects."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hanse.collaborator.evidence.demands import required_policy
from hanse.collaborator.peers.pins import pins_of
from hanse.config.settings import SiteSettings
from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError
from hanse.pki.credentials import Credentials

logger = logging.getLogger(__name__)


def check_settings(directory: Path, settings: SiteSettings, credentials: Credentials) -> None:
    """Check that settings are this site's and keep its key to itself; warn of data that is not there.

    Raises:
        ConfigError: The settings are another site's, would show the site's key to plan code, or have a peer
            without a key.
    """
    party = credentials.party
    if party != Party(settings.federation, Role.COLLABORATOR, settings.name):
        raise ConfigError(
            f"site.yaml is that of {settings.name} in {settings.federation}, and the certificate in "
            f"{credentials.directory} that of {party.uri}",
            mend="Keep each site's files in a folder of its own.",
        )
    own = directory.resolve()
    for name, path in settings.data.items():
        if own.is_relative_to(path.resolve()):
            raise ConfigError(
                f"the data source {name!r} of site.yaml, {path}, holds this site's own folder with its "
                "key, and plan code may read data sources",
                mend="Move the data to a folder of its own.",
            )
    pins_of(settings.secure_aggregation)
    required_policy(settings)
    for name, problem in unusable_sources(settings.data):
        logger.warning(
            "data source %s: %s; tasks that need it will fail. Mount it, give the user of this agent access, "
            "or correct `%s` under `data:` in site.yaml",
            *(name, problem, name),
        )


def unusable_sources(data: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Data sources that are not there or cannot be read, each with the problem in words."""
    for name, path in data.items():
        try:
            path.stat()
        except OSError as error:
            yield name, f"cannot find {path}: {error.strerror}"
            continue
        if not os.access(path, os.R_OK):
            yield name, f"{path} cannot be read"
