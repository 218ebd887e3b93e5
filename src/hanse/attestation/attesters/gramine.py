"""Evidence of an SGX enclave, from the files that Gramine gives a process inside.

Gramine's documentation, "Attestation and Secret Provisioning": `attestation_type`, `user_report_data` and
`quote` in `/dev/attestation`. The files belong to the process: no other one can write in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hanse.attestation.attesters.base import Attester
from hanse.attestation.attesters.binding import check_bound, check_size
from hanse.attestation.attesters.files import DeviceFiles
from hanse.attestation.base import MAX_QUOTE, Evidence, Kind
from hanse.attestation.devices import GRAMINE, closed, missing
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.errors import ConfigError, EvidenceError

FOLDER = Path("/dev/attestation")
_TYPE, _REPORT_DATA, _QUOTE = "attestation_type", "user_report_data", "quote"
_MOST_TYPE = 64


@dataclass(frozen=True, slots=True)
class GramineAttester(Attester):
    """Attester of an enclave under Gramine.

    Attributes:
        folder: The folder of Gramine's files.
        files: Access to them.
    """

    folder: Path = FOLDER
    files: DeviceFiles = field(default_factory=DeviceFiles)

    def __post_init__(self) -> None:
        """Look whether this process gets quotes.

        Raises:
            ConfigError: It does not run in an enclave, or its manifest permits no quotes of DCAP.
        """
        path = self.folder / _TYPE
        try:
            scheme = self.files.read(path, _MOST_TYPE).strip(b"\0\n ").decode("ascii", "replace")
        except PermissionError:
            raise closed(GRAMINE, path) from None
        except OSError:
            raise missing(GRAMINE, path) from None
        if scheme != "dcap":
            raise ConfigError(
                f"Gramine: {path} says {scheme[:_MOST_TYPE]!r}, and quotes of `dcap` alone are verified",
                mend=GRAMINE.mend,
            )

    @property
    def kind(self) -> Kind:
        """SGX."""
        return Kind.SGX

    @property
    def event_log(self) -> bytes:
        """None: an enclave has no log of a firmware."""
        return b""

    def keys(self) -> DeviceKeys | None:
        """None: the quote carries all that is needed."""
        return None

    def activate(self, challenge: bytes) -> bytes:
        """Refuse: there is nothing to activate."""
        raise ConfigError("SGX has no keys to activate; TPMs alone have")

    def evidence(self, report_data: bytes) -> Evidence:
        """Get a quote of this enclave; see `Attester`."""
        check_size(Kind.SGX, report_data)
        try:
            self.files.write(self.folder / _REPORT_DATA, report_data)
            quote = self.files.read(self.folder / _QUOTE, MAX_QUOTE)
        except OSError as error:
            raise EvidenceError(
                f"Gramine gave no quote from {self.folder}: {error.strerror}",
                mend="Check on the host that its AESM service runs and that the machine is registered for "
                "DCAP.",
            ) from None
        evidence = Evidence(Kind.SGX, quote)
        check_bound(evidence, report_data)
        return evidence

    def close(self) -> None:
        """Nothing to give back."""
