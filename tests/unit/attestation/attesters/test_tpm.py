"""Settings and templates of TPM attesters, and what a machine lacks for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.tpm import templates

from hanse.attestation.attesters.tpm import TpmAttester, TpmSettings
from hanse.attestation.attesters.tpm_library import TpmConnection
from hanse.attestation.attesters.tpm_templates import EK_ECC, EK_RSA, new_ak
from hanse.attestation.tpm.public_area import ATTESTING, Attributes
from hanse.errors import ConfigError, EvidenceError


def test_templates_of_endorsement_keys_are_those_of_the_profile() -> None:
    assert EK_RSA == templates.EK_RSA
    assert EK_ECC == templates.EK_ECC


def test_the_template_of_an_attestation_key_is_restricted_and_of_its_own() -> None:
    pieces = iter((b"x" * 32, b"y" * 32))
    attributes = ATTESTING | Attributes.USER_WITH_AUTH | Attributes.NO_DA
    point = b"x" * 32, b"y" * 32
    scheme = templates.bound(templates.ECDSA)

    assert new_ak(lambda _: next(pieces)) == templates.ecc_area(int(attributes), b"\0\x10", scheme, point)


@pytest.mark.parametrize("registers", [(), (24,), (-1,), (4, 4), (7, 4)])
def test_registers_stand_once_ascending(registers: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="are to be some of 0 to 23"):
        TpmSettings("device:/dev/tpmrm0", registers)


def test_a_log_of_the_kernel_takes_its_register() -> None:
    with pytest.raises(ConfigError, match="leads to PCR 10"):
        TpmSettings("device:/dev/tpmrm0", (4, 7), kernel_log=Path("/log"))


def test_a_machine_without_a_tpm_is_told_so(tmp_path: Path) -> None:
    for kind in ("device:", "swtpm:path="):
        with pytest.raises(ConfigError, match=f"no TPM: there is no {tmp_path}/tpmrm9.*firmware"):
            TpmConnection(f"{kind}{tmp_path}/tpmrm9")


def test_a_tpm_that_this_user_may_not_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tpmrm0").touch()
    monkeypatch.setattr("os.access", lambda *_: False)

    with pytest.raises(ConfigError, match="this user may not use"):
        TpmConnection(f"device:{tmp_path}/tpmrm0")


@pytest.mark.parametrize("tcti", ["cmd:sh -c true", "/tmp/library.so:x", "pcap:device", ""])
def test_connections_that_start_programs_or_load_libraries_are_refused(tcti: str) -> None:
    with pytest.raises(ConfigError, match="not a connection that is taken"):
        TpmConnection(tcti)


def test_a_missing_library_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tpmrm0").touch()
    monkeypatch.setitem(sys.modules, "tpm2_pytss", None)

    with pytest.raises(ConfigError, match=r"libtss2-dev.*hanse\[tpm\]"):
        TpmConnection(f"device:{tmp_path}/tpmrm0")


def test_logs_are_read_before_the_tpm_and_bounded(tmp_path: Path) -> None:
    def opened(data: bytes) -> TpmAttester:
        (tmp_path / "log").write_bytes(data)
        return TpmAttester(TpmSettings("device:/none", (4,), firmware_log=tmp_path / "log"), bytes)

    with pytest.raises(EvidenceError, match="more than 524288 bytes"):
        opened(bytes(524289))
    with pytest.raises(ConfigError, match="is empty"):
        opened(b"")
    with pytest.raises(ConfigError, match="cannot read"):
        TpmAttester(TpmSettings("device:/none", (4,), firmware_log=tmp_path / "none"), bytes)
