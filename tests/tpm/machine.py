"""A machine around a TPM, played by the tests: what its firmware and kernel measure, and what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.tpm import templates
from tests.tpm.client import Key, TpmClient
from tests.tpm.forge import EVENTS
from tests.tpm.logs import Event, firmware_log, kernel_text, template_data

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.tpm.activation import Activated, Challenge, challenge, check_answer
from hanse.attestation.tpm.registers import write_registers

FILES = {"boot_aggregate": b"PCR 0 to 9", "/usr/bin/python3": b"interpreter", "/opt/hanse.py": b"Hanse"}
SELECTION = (4, 7, 10, 11, 12)


@dataclass
class Machine:
    """A machine that was started.

    Attributes:
        tpm: Its TPM.
        ek: Its EK.
        ak: Its AK.
        events: What its firmware has measured.
        files: What its kernel has measured.
    """

    tpm: TpmClient
    ek: Key
    ak: Key
    events: Sequence[Event] = EVENTS
    files: dict[str, bytes] | None = None

    def evidence(
        self, qualifying: bytes, *certificates: bytes, selection: Sequence[int] = SELECTION
    ) -> Evidence:
        """A quote with all that comes along."""
        quote, signature = self.tpm.quote(self.ak, qualifying, selection)
        parts = {
            "signature": signature,
            "ak": self.ak.public,
            "pcrs": write_registers(self.tpm.read_registers(selection)),
            "tcg": firmware_log(self.events),
            "ima": kernel_text(self.files or FILES),
        }
        return Evidence(Kind.TPM, quote, certificates, parts)

    def answer(self, asked: Challenge) -> bytes:
        """Activation of the AK."""
        return self.tpm.activate(self.ak, self.ek, asked.credential)

    def activated(self, secret: bytes, seed: bytes) -> Activated:
        """Activation as a whole, with the verifier's part."""
        asked = challenge(self.ek.public, self.ak.public, secret, seed)
        return check_answer(asked, self.answer(asked))


def start(
    tpm: TpmClient,
    ek: bytes = templates.EK_RSA,
    ak: bytes = templates.AK_RSA,
    events: Sequence[Event] = EVENTS,
) -> Machine:
    """Start a machine: its firmware and kernel measure what they start, and its agent makes keys."""
    measure(tpm, events)
    return Machine(tpm, tpm.create_primary(ek), tpm.create_primary(ak), events, FILES)


def measure(tpm: TpmClient, events: Sequence[Event] = EVENTS) -> None:
    """Play firmware and kernel: measure what they start."""
    for register, _, data in events:
        tpm.extend(register, hashlib.sha256(data).digest())
    for path, content in FILES.items():
        tpm.extend(10, hashlib.sha256(template_data(path, content)).digest())
