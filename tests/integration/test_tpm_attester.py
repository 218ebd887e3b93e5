"""The attester of TPMs, live on a software TPM: what it shows passes the verifier's checks."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.policy_files import whole_policy
from tests.tpm.forge import component, given
from tests.tpm.logs import firmware_log, kernel_text
from tests.tpm.machine import EVENTS, FILES, SELECTION, measure
from tests.tpm.manufacture import can_manufacture, manufacture
from tests.tpm.swtpm import SWTPM, connected, served
from tests.tpm.vectors import rehearsal
from tests.unit.attestation.test_instance import OCCASION

from hanse.attestation.attesters.tpm import TpmAttester, TpmSettings
from hanse.attestation.attesters.tpm_library import TpmConnection
from hanse.attestation.base import Circumstances, Kind, Tier
from hanse.attestation.claims import report_data
from hanse.attestation.instance import Instance
from hanse.attestation.policy.write import toml_of
from hanse.attestation.tpm.activation import Activated, challenge, check_answer
from hanse.attestation.tpm.verifier import TpmVerifier, verify_quote
from hanse.cli.main import run
from hanse.errors import ConfigError, EvidenceError

AMD = Path(__file__).parents[1] / "data" / "attestation" / "amd" / "go-sev-guest" / "ask_ark_milan.pem"
HERE = SWTPM is not None and importlib.util.find_spec("tpm2_pytss") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE, reason="swtpm or tpm2-pytss (the extra `tpm`) is not installed"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="tpm-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def socket(folder: Path) -> Iterator[Path]:
    """A software TPM of a machine that has started."""
    with served(folder) as path:
        with connected(path) as tpm:
            measure(tpm)
        yield path


def settings(socket: Path, **other: Any) -> TpmSettings:
    """Settings of that machine; its logs lie beside the socket."""
    firmware, kernel = socket.parent / "firmware.log", socket.parent / "kernel.log"
    firmware.write_bytes(firmware_log(EVENTS))
    kernel.write_bytes(kernel_text(FILES))
    logs = {"firmware_log": firmware, "kernel_log": kernel}
    return TpmSettings(f"swtpm:path={socket}", SELECTION, **logs | other)


def opened(socket: Path, **other: Any) -> TpmAttester:
    return TpmAttester(settings(socket, **other), os.urandom)


def run_command(*words: object) -> int:
    return run([str(word) for word in words])


def activated(attester: TpmAttester) -> Activated:
    """The verifier's part of an activation."""
    keys = attester.keys()
    assert keys is not None
    ek, ak = bytes.fromhex(keys.ek), bytes.fromhex(keys.ak)
    asked = challenge(ek, ak, os.urandom(32), os.urandom(32))
    return check_answer(asked, attester.activate(asked.credential.to_file()))


@pytest.mark.parametrize("ek", ["rsa", "ecc"])
def test_an_instance_is_activated_quoted_and_accepted(socket: Path, ek: str) -> None:
    attester, qualifying = opened(socket, ek=ek), os.urandom(32)
    known = activated(attester)
    evidence = attester.evidence(qualifying)
    attester.close()

    appraisal = TpmVerifier(known).appraise(evidence, rehearsal(known.ek), given(qualifying))

    assert {check.component for check in appraisal.differing} == {
        "TPM implementation",
        "confidentiality of memory",
    }


def test_an_instance_shows_its_claims_and_no_others(socket: Path) -> None:
    attester, instance = opened(socket), Instance.start(os.urandom)
    claims = instance.claims(OCCASION, attester)
    evidence = instance.show(attester, claims)
    other = claims.model_copy(update={"purpose": "release"})

    assert verify_quote(evidence, report_data(claims, Kind.TPM))
    with pytest.raises(EvidenceError, match="qualifying data"):
        verify_quote(evidence, report_data(other, Kind.TPM))


def test_evidence_for_another_nonce_is_refused(socket: Path) -> None:
    evidence = opened(socket).evidence(os.urandom(32))

    with pytest.raises(EvidenceError, match="qualifying data"):
        verify_quote(evidence, os.urandom(32))


def test_what_is_measured_later_is_seen(socket: Path) -> None:
    attester, qualifying = opened(socket, firmware_log=None), os.urandom(32)
    known = activated(attester)
    with connected(socket) as tpm:
        tpm.extend(11, b"\x01" * 32)
    evidence = attester.evidence(qualifying)

    appraisal = TpmVerifier(known).appraise(evidence, rehearsal(known.ek), given(qualifying))

    assert component(appraisal, "PCR 11").tier is Tier.CONTRAINDICATED
    assert component(appraisal, "PCR 4").tier is Tier.AFFIRMING


def test_a_register_that_is_extended_between_quote_and_reading_is_quoted_again(
    socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attester, qualifying = opened(socket), os.urandom(32)
    read, changes = TpmConnection.read_registers, [11]

    def changed(self: TpmConnection, registers: Any) -> dict[int, bytes]:
        while changes:
            with connected(socket) as tpm:
                tpm.extend(changes.pop(), b"\x01" * 32)
        return read(self, registers)

    monkeypatch.setattr(TpmConnection, "read_registers", changed)

    assert verify_quote(attester.evidence(qualifying), qualifying)


def test_registers_that_never_stand_still_are_an_error(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attester = opened(socket)
    monkeypatch.setattr(
        TpmConnection, "read_registers", lambda self, registers: dict.fromkeys(registers, bytes(32))
    )

    with pytest.raises(EvidenceError, match="values of the PCRs"):
        attester.evidence(os.urandom(32))


def test_each_instance_has_a_key_of_its_own_in_the_same_tpm(socket: Path) -> None:
    first, second = opened(socket).keys(), opened(socket).keys()

    assert first is not None
    assert second is not None
    assert first.ek == second.ek
    assert first.ak != second.ak


def test_instances_that_never_closed_leave_room_in_the_tpm(socket: Path) -> None:
    attesters = [opened(socket) for _ in range(5)]  # a TPM without resource manager has room for three keys

    assert all(activated(attester) for attester in attesters)


def test_a_credential_for_another_instance_is_not_opened(socket: Path) -> None:
    ours, theirs = opened(socket), opened(socket).keys()
    assert theirs is not None
    asked = challenge(bytes.fromhex(theirs.ek), bytes.fromhex(theirs.ak), os.urandom(32), os.urandom(32))

    with pytest.raises(EvidenceError, match="cannot open the credential"):
        ours.activate(asked.credential.to_file())


def test_a_malformed_credential_is_an_error_in_words(socket: Path) -> None:
    attester = opened(socket)

    for data in (b"", bytes.fromhex("badcc0de00000001") + b"\x00\x00" * 2, b"\xff" * 2000):
        with pytest.raises(EvidenceError, match="credential"):
            attester.activate(data)


def test_an_instance_ends_with_the_start_of_its_machine(folder: Path) -> None:
    with served(folder) as socket:
        with connected(socket) as tpm:
            measure(tpm)
        attester = opened(socket)
    with served(folder), pytest.raises(EvidenceError, match="cannot make a quote"):
        attester.evidence(os.urandom(32))


def test_a_tpm_that_has_ended_is_an_error_in_words(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with served(folder) as socket:
        attester = opened(socket)

    with pytest.raises(EvidenceError, match="cannot make a quote"):
        attester.evidence(os.urandom(32))
    with pytest.raises(ConfigError, match="no TPM"):
        opened(socket)
    assert capfd.readouterr().err == ""


def test_the_command_records_evidence_that_the_verifier_accepts(socket: Path, tmp_path: Path) -> None:
    used, data = settings(socket), os.urandom(32).hex()
    evidence, ek, policy = (tmp_path / name for name in ("evidence.json", "ek.pub", "policy.toml"))
    registers = [word for register in SELECTION for word in ("--register", register)]

    recorded = run_command(
        *("attest", "record", evidence, "--device", "tpm", "--tpm", used.tcti, *registers),
        *("--event-log", used.firmware_log, "--ima-log", used.kernel_log),
        *("--report-data", data, "--ek-out", ek),
    )
    policy.write_text(toml_of(whole_policy(tpm=rehearsal(ek.read_bytes()))))
    verified = run_command(
        *("attest", "verify", evidence, "--policy", policy, "--ek", ek, "--rehearsal"),
        *("--report-data", data),
    )

    assert recorded == 0
    assert verified == 0


@pytest.mark.skipif(not can_manufacture(), reason="swtpm-tools or certtool is not installed")
def test_the_certificate_in_the_tpm_goes_along_with_those_of_its_maker(folder: Path, tmp_path: Path) -> None:
    issuer, root = manufacture(folder, tmp_path)
    pem = tmp_path / "maker.pem"
    pem.write_bytes(b"".join(map(_pem, (issuer, root))))
    with served(folder) as socket:
        with connected(socket) as tpm:
            measure(tpm)
        attester, qualifying = opened(socket, certificates=pem), os.urandom(32)
        known, evidence = activated(attester), attester.evidence(qualifying)
        whole = tmp_path / "whole.pem"
        whole.write_bytes(b"".join(map(_pem, evidence.certificates)))

        assert opened(socket, certificates=whole).evidence(qualifying).certificates == evidence.certificates
        assert len(opened(socket).evidence(qualifying).certificates) == 1
    rules = rehearsal(known.ek, manufacturers=(hashlib.sha256(root).hexdigest(),))
    # The certificates begin in the second in which they were made, at the wall clock.
    appraisal = TpmVerifier(known).appraise(evidence, rules, Circumstances(datetime.now(UTC), qualifying))

    assert component(appraisal, "EK certificate").tier is Tier.AFFIRMING


def test_issuers_without_a_certificate_of_the_key_are_refused(socket: Path) -> None:
    with pytest.raises(ConfigError, match="no certificate of its EK"):
        opened(socket, certificates=AMD)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
