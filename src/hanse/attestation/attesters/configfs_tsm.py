"""Evidence of a virtual machine of TDX or SEV-SNP, from Linux's configfs-tsm.

Linux, `Documentation/ABI/testing/configfs-tsm-report`: a folder below `/sys/kernel/config/tsm/report` is a
request. The kernel makes a report of what was written to its `inblob` when `outblob` is read.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hanse.attestation.attesters.base import Attester
from hanse.attestation.attesters.binding import check_bound, check_size
from hanse.attestation.attesters.files import DeviceFiles
from hanse.attestation.base import MAX_LOG, MAX_QUOTE, Evidence, Kind
from hanse.attestation.devices import CONFIGFS, SNP, TDX, closed, missing
from hanse.attestation.snp.certificate_table import read_certificate_table
from hanse.attestation.snp.report import read_report
from hanse.attestation.tdx import EVENT_LOG
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.errors import ConfigError, EvidenceError

FOLDER = Path("/sys/kernel/config/tsm/report")
PROVIDERS = {"tdx_guest": Kind.TDX, "sev_guest": Kind.SNP}
"""Kinds by the name of the kernel's driver."""
_DEVICES = {Kind.TDX: TDX, Kind.SNP: SNP}
_MOST_TEXT = 64
_TRIES = 3


class _RaceError(Exception):
    """Something else wrote to the request."""


@dataclass(frozen=True, slots=True)
class ConfigfsAttester(Attester):
    """Attester of a virtual machine.

    Attributes:
        kind: The kind that the settings name: TDX or SNP.
        event_log: Log of the firmware, of TDX; empty for none.
        folder: The kernel's folder of requests.
        files: Access to it.
    """

    kind: Kind
    event_log: bytes = b""
    folder: Path = FOLDER
    files: DeviceFiles = field(default_factory=DeviceFiles)

    def __post_init__(self) -> None:
        """Look whether the kernel gives reports of this kind.

        Raises:
            ConfigError: It does not: there is no such folder, no driver, or the driver of another kind.
        """
        if self.kind not in _DEVICES:
            raise ConfigError(f"configfs-tsm gives evidence of TDX and SNP, not of {self.kind}")
        if self.event_log and self.kind is not Kind.TDX:
            raise ConfigError("SEV-SNP has no log of the firmware", mend="Leave it out of the settings.")
        if not self.folder.is_dir():
            raise missing(CONFIGFS, self.folder)
        with self._request() as request:
            provider = self._text(request / "provider")
        found = PROVIDERS.get(provider)
        if found is not self.kind:
            device = _DEVICES[self.kind]
            raise ConfigError(
                f"this machine has no {device.name}: reports of {self.folder} are of the provider "
                f"{provider!r}, which is {found or 'not known'}, and the settings name {self.kind}",
                mend=f"Name the kind {found} in the settings." if found else device.mend,
            )

    def keys(self) -> DeviceKeys | None:
        """None: the report and its certificates are all that is needed."""
        return None

    def activate(self, challenge: bytes) -> bytes:
        """Refuse: there is nothing to activate."""
        raise ConfigError(f"{self.kind} has no keys to activate; TPMs alone have")

    def evidence(self, report_data: bytes) -> Evidence:
        """Get a quote of TDX, or a report of SEV-SNP with its certificates; see `Attester`."""
        check_size(self.kind, report_data)
        for _ in range(_TRIES):
            try:
                report, table = self._report(report_data)
            except _RaceError:
                continue
            break
        else:
            raise EvidenceError(
                f"configfs-tsm: something else wrote to each of {_TRIES} requests of this process",
                mend="Find the program that writes below it: nothing but Hanse may have access.",
            )
        evidence = self._evidence(report, table)
        check_bound(evidence, report_data)
        return evidence

    def close(self) -> None:
        """Nothing to give back: each request is removed at once."""

    def _evidence(self, report: bytes, table: bytes) -> Evidence:
        if self.kind is Kind.TDX:
            return Evidence(Kind.TDX, report, parts={EVENT_LOG: self.event_log} if self.event_log else {})
        Evidence(Kind.SNP, report)  # bounds the report before it is read
        return Evidence(Kind.SNP, report, read_certificate_table(table, read_report(report).key.signer))

    def _report(self, report_data: bytes) -> tuple[bytes, bytes]:
        """Report and supplement of one request that nothing else has written to."""
        with self._request() as request:
            before = self._generation(request)
            self._write(request / "inblob", report_data)
            report = self._read(request / "outblob", MAX_QUOTE)
            table = self._read(request / "auxblob", MAX_LOG) if self.kind is Kind.SNP else b""
            # The kernel counts writes, and gives no error of one.
            if self._generation(request) != before + 1:
                raise _RaceError
        return report, table

    @contextmanager
    def _request(self) -> Iterator[Path]:
        """A request of its own, removed afterwards."""
        path = self.folder / f"hanse-{secrets.token_hex(8)}"
        try:
            self.files.make_folder(path)
        except PermissionError:
            raise closed(CONFIGFS, self.folder) from None
        except OSError as error:
            if error.errno == errno.ENXIO:  # no driver has registered
                raise missing(_DEVICES[self.kind], f"driver behind {self.folder}") from None
            raise EvidenceError(f"configfs-tsm: cannot make {path}: {error.strerror}") from None
        try:
            yield path
        finally:
            # One that stays takes some memory of the kernel's, and nothing else writes to it.
            with suppress(OSError):
                self.files.remove_folder(path)

    def _generation(self, request: Path) -> int:
        text = self._text(request / "generation")
        if not (text.isascii() and text.isdigit()):
            raise EvidenceError(f"configfs-tsm: {request.name}/generation is {text!r}, not a number")
        return int(text)

    def _text(self, path: Path) -> str:
        return self._read(path, _MOST_TEXT).decode("ascii", "replace").strip()

    def _read(self, path: Path, most: int) -> bytes:
        try:
            data = self.files.read(path, most)
        except OSError as error:
            raise _failed(path, error) from None
        if len(data) > most:
            raise EvidenceError(f"configfs-tsm: {path.name} has more than {most} bytes")
        return data

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self.files.write(path, data)
        except OSError as error:
            raise _failed(path, error) from None


def _failed(path: Path, error: OSError) -> EvidenceError:
    return EvidenceError(
        f"configfs-tsm: the kernel refused {path.name}: {error.strerror}",
        mend="Ask the operator of the host whether its quoting service runs, and see the kernel's log.",
    )
