"""Needs of sealed runs at an aggregator, as its settings have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hanse.aggregator.sealed.release_policy import ReleasePolicyFile
from hanse.aggregator.sealed.runs import Sealing
from hanse.attestation.instance import Instance
from hanse.config.layout import SEALED
from hanse.config.settings import AggregatorSettings
from hanse.control.appraisal.options import EvidenceOptions
from hanse.sealing.owner import load_owner_key


def sealing_of(
    directory: Path, settings: AggregatorSettings, evidence: EvidenceOptions
) -> tuple[EvidenceOptions, Sealing | None]:
    """Needs of sealed runs, with the instance that the aggregator then shows; None without an owner.

    Args:
        directory: The federation's folder.
        settings: The aggregator's.
        evidence: What it shows else.

    Raises:
        SealError: The owner's keys are missing or damaged, or OpenSSL here cannot seal.
        ConfigError: The release policy is malformed.
        StorageError: It cannot be read.
    """
    if settings.owner is None:
        return evidence, None
    release = ReleasePolicyFile(settings.owner.release)
    release.now()
    instance = Instance.start(os.urandom)
    sealing = Sealing(
        owner=load_owner_key(settings.owner.key),
        instance=instance,
        memory=directory / SEALED,
        release=release,
        rehearsal=settings.attestation.rehearsal,
        unfit="; ".join(_unfit(settings)),
    )
    return replace(evidence, instance=instance), sealing


def _unfit(settings: AggregatorSettings) -> Iterator[str]:
    if settings.sealed_memory is None:
        yield "`sealed_memory` is not set in aggregator.yaml"
    if settings.sandbox != "required":
        yield "they need `sandbox: required` in aggregator.yaml"
    if settings.worker.network:
        yield "they need `worker: {network: false}` in aggregator.yaml"
