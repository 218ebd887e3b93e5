"""The interface of attesters: they make evidence of the machine that they run on."""

from __future__ import annotations

import hashlib
from typing import Protocol

from hanse.attestation.base import Evidence, Kind
from hanse.core.values.evidence.device_keys import DeviceKeys


class Attester(Protocol):
    """A device of this machine, opened for one instance.

    All methods may block, some for seconds: they are called on a thread, one call at a time.
    """

    @property
    def kind(self) -> Kind:
        """The kind of its evidence."""
        ...

    @property
    def event_log(self) -> bytes:
        """Log of the firmware that goes along with all evidence, read once; empty where there is none."""
        ...

    def keys(self) -> DeviceKeys | None:
        """Keys that a verifier has to activate before evidence counts; None for all kinds but TPMs."""
        ...

    def activate(self, challenge: bytes) -> bytes:
        """Open a secret that a verifier encrypted for `keys()`.

        Args:
            challenge: A credential as `Credential.to_file` writes it.

        Raises:
            EvidenceError: The credential is malformed or for other keys, or the device fails.
            ConfigError: Devices of this kind have no such keys.
        """
        ...

    def evidence(self, report_data: bytes) -> Evidence:
        """Make evidence that is bound to data.

        Args:
            report_data: See `hanse.attestation.claims.report_data`.

        Raises:
            EvidenceError: The device fails, or its answer is not what was asked for.
        """
        ...

    def close(self) -> None:
        """Give the device back. Keys of the instance that it holds are gone afterwards."""
        ...


def log_digest(attester: Attester) -> str:
    """Digest of the log that goes along, as claims have it: SHA-256, or empty where there is none."""
    log = attester.event_log
    return hashlib.sha256(log).hexdigest() if log else ""
