"""Evidence of SGX from folders that look like Gramine's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dcap import forge

from hanse.attestation.attesters.files import DeviceFiles
from hanse.attestation.attesters.gramine import GramineAttester
from hanse.attestation.base import Kind
from hanse.attestation.statement import read_statement
from hanse.errors import ConfigError, EvidenceError

DATA = bytes(range(100, 164))


class Enclave(DeviceFiles):
    """Files of Gramine, which makes a quote of the report data when it is read."""

    def read(self, path: Path, most: int) -> bytes:
        if path.name == "quote" and path.exists() and not path.read_bytes():
            data = (path.parent / "user_report_data").read_bytes()
            return forge.sgx(forge.enclave_report(report_data=data)).quote
        return super().read(path, most)


def folder(tmp_path: Path, scheme: str = "dcap", quote: bytes = b"") -> Path:
    (tmp_path / "attestation_type").write_text(scheme)
    (tmp_path / "user_report_data").write_bytes(bytes(64))
    (tmp_path / "quote").write_bytes(quote)
    return tmp_path


def test_a_quote_is_bound_to_what_it_is_asked_for(tmp_path: Path) -> None:
    attester = GramineAttester(folder(tmp_path), Enclave())

    evidence = attester.evidence(DATA)

    assert evidence.kind is Kind.SGX
    assert read_statement(evidence).report_data == DATA
    assert attester.keys() is None
    assert attester.event_log == b""


def test_a_process_outside_of_an_enclave_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no Gramine in an enclave: there is no .*_type.*gramine-sgx"):
        GramineAttester(tmp_path / "attestation")


@pytest.mark.parametrize("scheme", ["none", "epid"])
def test_an_enclave_without_quotes_of_dcap_is_refused(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(ConfigError, match=f"says '{scheme}'.*remote_attestation"):
        GramineAttester(folder(tmp_path, scheme))


def test_a_stale_quote_is_not_shown(tmp_path: Path) -> None:
    stale = forge.sgx(forge.enclave_report(report_data=bytes(64))).quote

    with pytest.raises(EvidenceError, match="the device was to bind it to"):
        GramineAttester(folder(tmp_path, quote=stale)).evidence(DATA)


def test_a_quote_that_is_longer_than_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="more than 32768"):
        GramineAttester(folder(tmp_path, quote=bytes(1 << 20))).evidence(DATA)


def test_a_quoting_enclave_that_does_not_answer_is_an_error_in_words(tmp_path: Path) -> None:
    (folder(tmp_path) / "quote").unlink()

    with pytest.raises(EvidenceError, match=r"gave no quote.*AESM"):
        GramineAttester(tmp_path).evidence(DATA)
