"""`hanse attest record`: evidence of this machine in a file, or what the machine lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.unit.attestation.test_claims import CLAIMS

from hanse.attestation.attesters.base import Attester
from hanse.attestation.base import Evidence, Kind
from hanse.attestation.claims import Claims, report_data
from hanse.attestation.evidence_file import read_evidence
from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.device_keys import DeviceKeys


class Device(Attester):
    """A device of TDX whose quotes are what they are bound to."""

    kind = Kind.TDX
    event_log = b"log"

    def keys(self) -> DeviceKeys | None:
        return None

    def close(self) -> None:
        pass

    def evidence(self, report_data: bytes) -> Evidence:
        return Evidence(Kind.TDX, report_data)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.assembly.attested.attester.open_attester", lambda *_: Device())


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("tpm", "this machine has no TPM: there is no /none/tpmrm0"),
        ("snp", "this machine has no configfs-tsm"),
        ("sgx", "this machine has no Gramine in an enclave"),
    ],
)
def test_a_machine_without_the_device_is_told_what_it_lacks(
    tmp_path: Path, hanse: Hanse, kind: str, lacks: str
) -> None:
    ended = hanse("attest", "record", tmp_path / "e.json", "--device", kind, "--tpm", "device:/none/tpmrm0")

    assert ended.code == 3
    assert lacks in ended.err
    assert not (tmp_path / "e.json").exists()


@pytest.mark.usefixtures("device")
def test_evidence_is_bound_to_what_is_asked_for_or_to_random_bytes(tmp_path: Path, hanse: Hanse) -> None:
    def bound(*more: object) -> str:
        ended = hanse("attest", "record", tmp_path / "e.json", "--device", "tdx", "--json", *more)
        stated = str(json.loads(ended.out)["bound_to"])
        assert read_evidence((tmp_path / "e.json").read_bytes()).quote.hex() == stated
        return stated

    assert bound("--report-data", "ab" * 64) == "ab" * 64
    assert bound() != bound()


@pytest.mark.usefixtures("device")
def test_evidence_for_claims_takes_the_log_of_this_machine(tmp_path: Path, hanse: Hanse) -> None:
    claims = Claims(**CLAIMS | {"log": sha256(b"log")})
    (tmp_path / "claims.json").write_text(claims.model_dump_json())
    (tmp_path / "other.json").write_text(Claims(**CLAIMS).model_dump_json())
    words = ("attest", "record", tmp_path / "e.json", "--device", "tdx", "--json", "--claims")

    assert (
        json.loads(hanse(*words, tmp_path / "claims.json").out)["bound_to"]
        == report_data(claims, Kind.TDX).hex()
    )
    other = hanse(*words, tmp_path / "other.json")
    assert other.code == 8
    assert "they name the event log" in other.err


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--report-data", "xy"), "hexadecimal digits"),
        (("--report-data", "ab", "--claims", __file__), "not both"),
        (("--register", 24), "registers"),
        (("--device", "tee"), "device"),
    ],
)
def test_a_slip_is_named(tmp_path: Path, hanse: Hanse, more: tuple[object, ...], complaint: str) -> None:
    ended = hanse("attest", "record", tmp_path / "e.json", "--device", "tdx", *more)

    assert ended.code in (2, 3)
    assert complaint in ended.err
