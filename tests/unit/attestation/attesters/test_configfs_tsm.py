"""Evidence of TDX and SEV-SNP from folders that look like configfs-tsm."""

from __future__ import annotations

import errno
from pathlib import Path
from uuid import UUID

import pytest
from tests.dcap import forge as dcap
from tests.snp import forge as snp
from tests.unit.attestation.attesters.kernel import Kernel, count_up

from hanse.attestation.attesters.base import log_digest
from hanse.attestation.attesters.configfs_tsm import ConfigfsAttester
from hanse.attestation.base import Kind
from hanse.attestation.statement import read_statement
from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError, EvidenceError

DATA = bytes(range(100, 164))
VCEK = UUID("63da758d-e664-4564-adc5-f4b93be8accd")


def td_quote(data: bytes) -> bytes:
    return dcap.tdx(dcap.td_report(report_data=data)).quote


def snp_report(data: bytes) -> bytes:
    return snp.Forged(fields={0x50: data}).report()


def table(certificate: bytes) -> bytes:
    entry = VCEK.bytes + (48).to_bytes(4, "little") + len(certificate).to_bytes(4, "little")
    return entry + bytes(24) + certificate


def tdx(tmp_path: Path, kernel: Kernel | None = None, log: bytes = b"") -> ConfigfsAttester:
    return ConfigfsAttester(Kind.TDX, log, tmp_path, kernel or Kernel("tdx_guest", td_quote))


def test_a_quote_of_tdx_is_bound_to_what_it_is_asked_for(tmp_path: Path) -> None:
    evidence = tdx(tmp_path).evidence(DATA)

    assert evidence.kind is Kind.TDX
    assert read_statement(evidence).report_data == DATA


def test_the_log_of_the_firmware_goes_along_and_its_digest_into_claims(tmp_path: Path) -> None:
    attester = tdx(tmp_path, log=b"log")

    assert attester.evidence(DATA).parts == {"event-log": b"log"}
    assert log_digest(attester) == sha256(b"log")
    assert log_digest(tdx(tmp_path)) == ""


def test_a_report_of_snp_comes_with_the_certificate_of_its_key(tmp_path: Path) -> None:
    certificate = snp.Forged().evidence().certificates[0]
    kernel = Kernel("sev_guest", snp_report, table(certificate))

    evidence = ConfigfsAttester(Kind.SNP, folder=tmp_path, files=kernel).evidence(DATA)

    assert evidence.certificates == (certificate,)
    assert read_statement(evidence).report_data == DATA


def test_a_host_without_certificates_gives_none(tmp_path: Path) -> None:
    attester = ConfigfsAttester(Kind.SNP, folder=tmp_path, files=Kernel("sev_guest", snp_report, b""))

    assert attester.evidence(DATA).certificates == ()


def test_every_request_is_one_of_its_own_and_is_removed(tmp_path: Path) -> None:
    kernel = Kernel("tdx_guest", td_quote)
    attester = tdx(tmp_path, kernel)
    attester.evidence(DATA)
    attester.evidence(DATA)

    assert len(set(kernel.made)) == 3  # the first looks for the provider
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_another_process_writes_to_is_made_again(tmp_path: Path) -> None:
    writers = [lambda request: (request / "inblob").write_bytes(bytes(64)) and count_up(request)]
    kernel = Kernel("tdx_guest", td_quote, other=lambda request: writers and writers.pop()(request))
    attester = tdx(tmp_path, kernel)

    assert read_statement(attester.evidence(DATA)).report_data == DATA
    assert len(kernel.made) == 3


def test_a_writer_that_never_rests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="something else wrote to each of 3 requests"):
        tdx(tmp_path, Kernel("tdx_guest", td_quote, other=count_up)).evidence(DATA)


def test_a_write_that_the_kernel_did_not_take_is_not_believed(tmp_path: Path) -> None:
    # As of a write whose error the kernel finds only when the file is closed.
    kernel = Kernel("tdx_guest", td_quote, other=lambda request: (request / "generation").write_text("0\n"))

    with pytest.raises(EvidenceError, match="something else wrote"):
        tdx(tmp_path, kernel).evidence(DATA)


def test_a_report_that_is_bound_to_something_else_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="the device was to bind it to"):
        tdx(tmp_path, Kernel("tdx_guest", lambda _: td_quote(bytes(64)))).evidence(DATA)


def test_another_provider_than_the_settings_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no TDX guest.*'sev_guest', which is snp.*Name the kind snp"):
        tdx(tmp_path, Kernel("sev_guest", snp_report, b""))
    with pytest.raises(ConfigError, match=r"'arm_cca_guest', which is not known"):
        tdx(tmp_path, Kernel("arm_cca_guest", bytes))


def test_a_machine_without_the_folder_or_a_driver_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configfs-tsm: there is no .*/report.*Linux 6\.7"):
        tdx(tmp_path / "report")
    with pytest.raises(ConfigError, match="no TDX guest: there is no driver behind"):
        tdx(tmp_path, Kernel("", bytes))


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ETIMEDOUT, errno.EIO])
def test_a_refusal_of_the_kernel_is_an_error_in_words(tmp_path: Path, number: int) -> None:
    kernel = Kernel("tdx_guest", td_quote, refused={"outblob": number})

    with pytest.raises(EvidenceError, match=r"the kernel refused outblob.*quoting service"):
        tdx(tmp_path, kernel).evidence(DATA)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_is_longer_than_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="outblob has more than 32768 bytes"):
        tdx(tmp_path, Kernel("tdx_guest", lambda _: bytes(1 << 20))).evidence(DATA)


def test_report_data_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="bound to 64 bytes, not 32"):
        tdx(tmp_path).evidence(bytes(32))


def test_nothing_is_to_be_activated(tmp_path: Path) -> None:
    attester = tdx(tmp_path)

    assert attester.keys() is None
    with pytest.raises(ConfigError, match="no keys to activate"):
        attester.activate(b"")
