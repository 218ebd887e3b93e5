"""The attester that a machine's settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from hanse.attestation.attesters.base import Attester
from hanse.attestation.attesters.configfs_tsm import ConfigfsAttester
from hanse.attestation.attesters.files import read_log
from hanse.attestation.attesters.gramine import GramineAttester
from hanse.attestation.attesters.tpm import TpmAttester, TpmSettings
from hanse.attestation.attesters.tpm_library import file_of
from hanse.attestation.base import Kind
from hanse.config.evidence.settings import OwnEvidence
from hanse.errors import ConfigError


def open_attester(own: OwnEvidence, randomness: Callable[[int], bytes]) -> Attester:
    """Open the device that makes this machine's evidence, for one instance. May block for seconds.

    Args:
        own: The settings.
        randomness: Of the operating system.

    Raises:
        ConfigError: The settings name no device, or this machine does not have what they name.
        EvidenceError: The device fails.
    """
    match own.device:
        case "tpm":
            settings = TpmSettings(
                own.tpm, own.registers, own.ek, own.ek_certificates, own.event_log, own.ima_log
            )
            return TpmAttester(settings, randomness)
        case "tdx":
            return ConfigfsAttester(Kind.TDX, read_log(own.event_log, "log of the firmware"))
        case "snp":
            return ConfigfsAttester(Kind.SNP)
        case "sgx":
            return GramineAttester()
        case None:
            raise ConfigError(
                "this machine shows no evidence: its settings name no device",
                mend="Set `attestation: {own: {device: ...}}`; `hanse doctor` lists the devices of the "
                "machine.",
            )
        case _:
            assert_never(own.device)


def secret_places(own: OwnEvidence) -> tuple[Path, ...]:
    """Files by which others could use this machine's device, beside those that every sandbox denies."""
    if own.device != "tpm" or (file := file_of(own.tpm)) is None:
        return ()
    return file, file.with_name(f"{file.name}.ctrl")
