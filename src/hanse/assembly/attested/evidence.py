"""Evidence as the settings of a party have it: the device opened, the start of the process checked."""

from __future__ import annotations

import logging
import os

from hanse.assembly.attested.attester import open_attester, secret_places
from hanse.config.evidence.settings import EvidenceSettings
from hanse.control.appraisal.options import EvidenceOptions
from hanse.errors import ConfigError
from hanse.sandbox.sealed.start_environment import check_isolated_start

logger = logging.getLogger(__name__)


def evidence_options(settings: EvidenceSettings) -> EvidenceOptions:
    """Options of a party; opens the device that the settings name, which may take seconds.

    Raises:
        ConfigError: The machine lacks the device, or the process was started so that files outside of what
            the device measures could change it.
        EvidenceError: The device fails.
    """
    if settings.own.device is None:
        return EvidenceOptions(collateral=settings.collateral, rehearsal=settings.rehearsal)
    if problems := check_isolated_start():
        told = "; ".join(problems)
        if not settings.rehearsal:
            raise ConfigError(
                f"this process shows evidence, and its start was not isolated: {told}",
                mend="Start it with `python -I -m hanse` and an environment without what is named.",
            )
        logger.warning("REHEARSAL: this process shows evidence, and its start was not isolated: %s", told)
    attester = open_attester(settings.own, os.urandom)
    return EvidenceOptions(
        attester=attester,
        collateral=settings.collateral,
        rehearsal=settings.rehearsal,
        secrets=secret_places(settings.own),
    )
