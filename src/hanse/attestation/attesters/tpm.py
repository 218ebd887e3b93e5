"""Evidence of a TPM 2.0: a key of this instance, activated with the TPM's own, and quotes by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hanse.attestation.attesters.base import Attester
from hanse.attestation.attesters.binding import check_bound, check_size
from hanse.attestation.attesters.files import DeviceFiles, read_log
from hanse.attestation.attesters.tpm_library import TpmConnection
from hanse.attestation.attesters.tpm_templates import EK_ECC, EK_RSA, new_ak
from hanse.attestation.base import MAX_CERTIFICATES, MAX_QUOTE, Evidence, Kind
from hanse.attestation.certificates import public_bytes, read_certificate, read_chain
from hanse.attestation.policy.tpm import IMA
from hanse.attestation.tpm.activation import Credential
from hanse.attestation.tpm.algorithms import SHA256
from hanse.attestation.tpm.public_area import PublicArea, read_public_area
from hanse.attestation.tpm.quote import REGISTERS, read_quote
from hanse.attestation.tpm.registers import check_registers, write_registers
from hanse.attestation.tpm.verifier import AK, IMA_LOG, PCRS, SIGNATURE, TCG
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.errors import ConfigError, EvidenceError

_KEYS = {"rsa": (EK_RSA, 0x01C00002), "ecc": (EK_ECC, 0x01C0000A)}
"""Template of an EK and the index of its certificate (TCG EK Credential Profile, section 2.2.1.4)."""
_TRIES = 5
_PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True)
class TpmSettings:
    """A TPM, and what is shown of it.

    Attributes:
        tcti: Connection, such as `device:/dev/tpmrm0` or `swtpm:path=SOCKET`.
        registers: Registers (PCR) that quotes state; ascending.
        ek: Kind of the endorsement key by which the TPM is known.
        certificates: File of PEM certificates of the EK's issuers, up to their root; the EK's own may stand
            first, and is taken from the TPM where it does not. None for what the TPM has.
        firmware_log: Log of the firmware, such as `/sys/kernel/security/tpm0/binary_bios_measurements`.
        kernel_log: Log of the kernel, such as `/sys/kernel/security/ima/ascii_runtime_measurements`.
    """

    tcti: str
    registers: tuple[int, ...]
    ek: Literal["rsa", "ecc"] = "rsa"
    certificates: Path | None = None
    firmware_log: Path | None = None
    kernel_log: Path | None = None

    def __post_init__(self) -> None:
        """Check the registers.

        Raises:
            ConfigError: There are none, or some that no TPM has, or not the one that a log leads to.
        """
        ascending = tuple(sorted(set(self.registers))) == self.registers
        if not self.registers or not ascending or not set(self.registers) <= set(range(REGISTERS)):
            raise ConfigError(
                f"TPM: the registers {', '.join(map(str, self.registers)) or 'none'} are to be some of 0 to "
                f"{REGISTERS - 1}, each once, ascending"
            )
        if self.kernel_log is not None and IMA not in self.registers:
            raise ConfigError(
                f"TPM: the log of the kernel leads to PCR {IMA}, which is not among the registers",
                mend=f"Add {IMA} to the registers, or leave the log out.",
            )


class TpmAttester(Attester):
    """Attester of a TPM, with an attestation key (AK) of its own that is never written.

    Args:
        settings: The TPM, and what is shown of it.
        randomness: Of the operating system.
    """

    def __init__(self, settings: TpmSettings, randomness: Callable[[int], bytes]) -> None:
        """Connect, and make the AK.

        Raises:
            ConfigError: The library, the TPM or a file is missing.
            EvidenceError: The TPM fails.
        """
        self._settings = settings
        self._lock = Lock()
        self._files = DeviceFiles()
        self._event_log = read_log(settings.firmware_log, "log of the firmware", self._files)
        self._tpm = TpmConnection(settings.tcti)
        template, index = _KEYS[settings.ek]
        try:
            self._password = randomness(_PASSWORD_BYTES)
            self._ak, self._ak_public = self._tpm.create_primary(new_ak(randomness), self._password)
            self._ek, self._ek_public = self._tpm.create_primary(template)
            self._certificates = self._chain(index)
        except BaseException:
            self._tpm.close()
            raise

    @property
    def kind(self) -> Kind:
        """TPM."""
        return Kind.TPM

    @property
    def event_log(self) -> bytes:
        """Log of the firmware, as it was when the instance began."""
        return self._event_log

    def keys(self) -> DeviceKeys | None:
        """Public areas of EK and AK."""
        return DeviceKeys(ek=self._ek_public.hex(), ak=self._ak_public.hex())

    def activate(self, challenge: bytes) -> bytes:
        """Open a secret that was encrypted for this EK and AK; see `Attester`."""
        credential = Credential.from_file(challenge)
        with self._lock:
            return self._tpm.activate(self._ak, self._password, self._ek, credential)

    def evidence(self, report_data: bytes) -> Evidence:
        """Quote the registers; see `Attester`."""
        check_size(Kind.TPM, report_data)
        with self._lock:
            quote, signature, values = self._quoted(report_data)
            # After the quote, so that the log has what the quoted register has; later entries do no harm.
            kernel_log = read_log(self._settings.kernel_log, "log of the kernel (IMA)", self._files)
        parts = {SIGNATURE: signature, AK: self._ak_public, PCRS: write_registers(values)}
        parts |= {name: log for name, log in ((TCG, self._event_log), (IMA_LOG, kernel_log)) if log}
        evidence = Evidence(Kind.TPM, quote, self._certificates, parts)
        check_bound(evidence, report_data)
        return evidence

    def close(self) -> None:
        """Disconnect; the AK is gone."""
        with self._lock:
            self._tpm.close()

    def _quoted(self, report_data: bytes) -> tuple[bytes, bytes, dict[int, bytes]]:
        """Quote, signature and values of the registers that the quote states.

        A quote states a digest alone, and the values are read after it: the kernel may have extended a
        register in between.
        """
        registers = self._settings.registers
        for left in reversed(range(_TRIES)):
            quote, signature = self._tpm.quote(self._ak, self._password, report_data, registers)
            values = self._tpm.read_registers(registers)
            try:
                check_registers(values, read_quote(quote), SHA256)
            except EvidenceError:
                if not left:
                    raise
                continue
            return quote, signature, values
        raise AssertionError("unreachable")

    def _chain(self, index: int) -> tuple[bytes, ...]:
        """Certificates of the EK, its own first."""
        key = read_public_area(self._ek_public, "EK")
        path = self._settings.certificates
        issuers = () if path is None else _read_chain(path, self._files)
        if issuers and _is_of(issuers[0], key):
            return tuple(map(public_bytes, issuers))
        stored = self._tpm.read_index(index)
        if not stored:
            if issuers:
                raise ConfigError(
                    f"TPM: it has no certificate of its EK at {index:#010x}, and {path} does not begin with "
                    "one",
                    mend="Get the certificate from the maker of the TPM, and put it first.",
                )
            return ()
        own = read_certificate(_der(stored), f"TPM: certificate of the EK at {index:#010x}")
        if not _is_of(own, key):
            raise EvidenceError(
                f"TPM: the certificate at {index:#010x} is of another key than the EK ({self._settings.ek})",
                mend="Choose the other kind of EK, or name a file of certificates.",
            )
        chain = (own, *issuers)
        if len(chain) > MAX_CERTIFICATES:
            raise ConfigError(f"{path} has too many certificates: {MAX_CERTIFICATES} go along at most")
        return tuple(map(public_bytes, chain))


def _read_chain(path: Path, files: DeviceFiles) -> tuple[x509.Certificate, ...]:
    try:
        data = files.read(path, MAX_CERTIFICATES * MAX_QUOTE)
    except OSError as error:
        raise ConfigError(f"certificates of the EK: cannot read {path}: {error.strerror}") from None
    return read_chain(data, str(path))


def _is_of(certificate: x509.Certificate, area: PublicArea) -> bool:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(*form) == area.key.public_bytes(*form)


def _der(stored: bytes) -> bytes:
    """A certificate without what fills its index up: makers leave more room than it takes."""
    if len(stored) < 4 or stored[0] != 0x30 or stored[1] != 0x82:
        return stored
    return stored[: 4 + int.from_bytes(stored[2:4], "big")]
