"""The own side of an exchange of evidence: this process's instance, and the device of its machine."""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
from collections.abc import Callable

from hanse.attestation.attesters.base import Attester
from hanse.attestation.evidence_file import write_evidence
from hanse.attestation.instance import Instance, Occasion
from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.errors import ConfigError, EvidenceError
from hanse.wire.messages.evidence import MAX_EVIDENCE, Shown


class OwnMachine:
    """Shows this process's instance, one evidence at a time.

    Args:
        start: Makes the instance, when it is first needed.
        attester: The device; None for none.
        rehearsal: Whether the own settings permit that software plays devices.

    Attributes:
        attester: The device; None for none.
        rehearsal: Whether the own settings permit that software plays devices.
    """

    def __init__(self, start: Callable[[], Instance], attester: Attester | None, *, rehearsal: bool) -> None:
        self.attester = attester
        self.rehearsal = rehearsal
        self._start = start
        self._made: Instance | None = None
        self._making = threading.Lock()
        self._showing = asyncio.Lock()

    @property
    def instance(self) -> Instance:
        """The instance, the same as long as the process runs.

        Raises:
            SealError: OpenSSL here cannot seal.
        """
        with self._making:
            if self._made is None:
                self._made = self._start()
            return self._made

    async def keys(self) -> DeviceKeys | None:
        """Keys of the device that a verifier has to activate; None for none."""
        if self.attester is None:
            return None
        async with self._showing:
            return await asyncio.to_thread(self.attester.keys)

    def bare(self) -> Shown:
        """The instance without evidence."""
        instance = self.instance
        return Shown(seal=instance.seal_public, speak=instance.speak_public)

    async def show(self, occasion: Occasion, credential: str) -> tuple[Shown, Claims]:
        """Make evidence.

        Args:
            occasion: What it is for.
            credential: Challenge of the verifier, base64; empty for none.

        Raises:
            ConfigError: There is no device.
            EvidenceError: The device fails, or what it makes is too large to send.
        """
        attester = self.attester
        if attester is None:
            raise ConfigError(
                f"{occasion.name} has no device that makes evidence",
                mend="Name one in its settings: `attestation: {own: {device: tpm}}`.",
            )
        async with self._showing:
            return await asyncio.to_thread(self._shown, attester, occasion, credential)

    def close(self) -> None:
        """Give the device back."""
        if self.attester is not None:
            self.attester.close()

    def _shown(self, attester: Attester, occasion: Occasion, credential: str) -> tuple[Shown, Claims]:
        claims = self.instance.claims(occasion, attester)
        activation = b"" if not credential else attester.activate(_decoded(credential))
        evidence = write_evidence(self.instance.show(attester, claims)).decode("ascii")
        if len(evidence) > MAX_EVIDENCE:
            raise EvidenceError(
                f"the evidence of this machine has {len(evidence)} bytes; {MAX_EVIDENCE} can be sent",
                mend="Leave out a log in the settings (`ima_log`, `event_log`), if the policy permits that.",
            )
        shown = Shown(
            seal=claims.seal,
            speak=claims.speak,
            log=claims.log,
            evidence=evidence,
            activation=base64.b64encode(activation).decode("ascii"),
        )
        return shown, claims


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise EvidenceError("the challenge for this machine's device is not base64") from None
