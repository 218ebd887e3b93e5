"""A software TPM, live: activation, quote and appraisal, with a machine that the tests play."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.tpm import templates
from tests.tpm.client import OWNER, TpmError
from tests.tpm.forge import EVENTS, component, given
from tests.tpm.logs import IPL
from tests.tpm.machine import Machine, start
from tests.tpm.manufacture import EK_CERTIFICATE, can_manufacture, manufacture
from tests.tpm.swtpm import SWTPM, running
from tests.tpm.vectors import rehearsal

from hanse.attestation.base import Circumstances, Tier
from hanse.attestation.tpm.activation import challenge, check_answer, make_credential
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.verifier import TpmVerifier, verify_quote
from hanse.errors import EvidenceError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(SWTPM is None, reason="swtpm is not installed")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="tpm-"))
    yield path
    shutil.rmtree(path)


def nonce() -> bytes:
    return os.urandom(32)


@pytest.mark.parametrize("ek", [templates.EK_RSA, templates.EK_ECC], ids=["EK RSA", "EK P-256"])
@pytest.mark.parametrize(
    "ak", [templates.AK_RSA, templates.AK_PSS, templates.AK_ECC], ids=["RSASSA", "RSAPSS", "ECDSA"]
)
def test_a_machine_is_activated_quoted_and_accepted(folder: Path, ek: bytes, ak: bytes) -> None:
    with running(folder) as tpm:
        machine, qualifying = start(tpm, ek, ak), nonce()
        activated = machine.activated(os.urandom(32), os.urandom(32))
        evidence = machine.evidence(qualifying)

    appraisal = TpmVerifier(activated).appraise(evidence, rehearsal(machine.ek.public), given(qualifying))

    assert appraisal.tier is Tier.WARNING
    assert {check.component for check in appraisal.differing} == {
        "TPM implementation",
        "confidentiality of memory",
    }


def test_a_credential_for_another_key_is_not_opened(folder: Path) -> None:
    with running(folder) as tpm:
        machine = start(tpm)
        other = read_public_area(tpm.create_primary(templates.AK_ECC).public, "AK")
        credential = make_credential(machine.ek.public, other.name, os.urandom(32), os.urandom(32))

        with pytest.raises(TpmError):
            tpm.activate(machine.ak, machine.ek, credential)


def test_a_credential_for_another_tpm_is_not_opened(folder: Path) -> None:
    with running(folder) as tpm:
        machine = start(tpm)
        elsewhere = tpm.create_primary(templates.EK_RSA, OWNER)
        asked = challenge(elsewhere.public, machine.ak.public, os.urandom(32), os.urandom(32))

        with pytest.raises(TpmError):
            machine.answer(asked)


def test_an_answer_to_an_earlier_credential_is_refused(folder: Path) -> None:
    with running(folder) as tpm:
        machine = start(tpm)
        asked = [
            challenge(machine.ek.public, machine.ak.public, os.urandom(32), os.urandom(32)) for _ in range(2)
        ]
        earlier = machine.answer(asked[0])

    with pytest.raises(EvidenceError, match="not the secret"):
        check_answer(asked[1], earlier)


def test_a_replayed_quote_is_refused(folder: Path) -> None:
    with running(folder) as tpm:
        evidence = start(tpm).evidence(nonce())

    with pytest.raises(EvidenceError, match="qualifying data"):
        verify_quote(evidence, nonce())


def test_a_machine_that_started_something_else_is_not_accepted(folder: Path) -> None:
    changed = [*EVENTS[:3], (11, IPL, b".cmdline roothash=2"), *EVENTS[4:]]
    with running(folder) as tpm:
        machine, qualifying = start(tpm, events=changed), nonce()
        activated = machine.activated(os.urandom(32), os.urandom(32))
        evidence = machine.evidence(qualifying)

    appraisal = TpmVerifier(activated).appraise(evidence, rehearsal(machine.ek.public), given(qualifying))

    assert component(appraisal, "PCR 11").tier is Tier.CONTRAINDICATED
    assert component(appraisal, "PCR 4").tier is Tier.AFFIRMING


def test_a_start_is_a_new_instance_with_the_same_keys(folder: Path) -> None:
    def appraised(machine: Machine, verifier: TpmVerifier) -> Tier:
        qualifying = nonce()
        evidence = machine.evidence(qualifying)
        rules = rehearsal(machine.ek.public, clock_safe={"any": "its power is cut in the test"})
        return component(verifier.appraise(evidence, rules, given(qualifying)), "start").tier

    with running(folder) as tpm:
        machine, qualifying = start(tpm), nonce()
        activated = machine.activated(os.urandom(32), os.urandom(32))
        before = verify_quote(machine.evidence(qualifying), qualifying).quote.started
        verifier = TpmVerifier(activated, before)
        assert appraised(machine, verifier) is Tier.AFFIRMING
    with running(folder) as tpm:
        again = start(tpm)

        assert again.ak.public == machine.ak.public
        assert appraised(again, verifier) is Tier.CONTRAINDICATED


def test_pcr_16_is_reset_by_software_and_pcr_11_is_not(folder: Path) -> None:
    with running(folder) as tpm:
        tpm.extend(16, b"\x01" * 32)
        tpm.reset(16)
        tpm.extend(11, b"\x01" * 32)

        with pytest.raises(TpmError):
            tpm.reset(11)
        assert not any(tpm.read_registers([16])[16])
        assert any(tpm.read_registers([11])[11])


def test_a_key_that_signs_whatever_it_is_given_is_not_activated(folder: Path) -> None:
    free = templates.rsa_area(
        templates.AK_ATTRIBUTES & ~(1 << 16), b"\0\x10", templates.bound(templates.RSASSA), b""
    )
    with running(folder) as tpm:
        machine = start(tpm, ak=free)

        with pytest.raises(EvidenceError, match="AK: its attributes lack restricted"):
            machine.activated(os.urandom(32), os.urandom(32))


@pytest.mark.skipif(not can_manufacture(), reason="swtpm-tools or certtool is not installed")
def test_the_certificate_of_a_manufactured_tpm_leads_to_its_maker(folder: Path, tmp_path: Path) -> None:
    issuer, root = manufacture(folder, tmp_path)
    with running(folder) as tpm:
        machine, qualifying = start(tpm), nonce()
        activated = machine.activated(os.urandom(32), os.urandom(32))
        evidence = machine.evidence(qualifying, tpm.read_index(EK_CERTIFICATE), issuer, root)
    rules = rehearsal(machine.ek.public, manufacturers=(hashlib.sha256(root).hexdigest(),))
    # The certificates begin in the second in which they were made, at the wall clock.
    now = Circumstances(datetime.now(UTC), qualifying)
    appraisal = TpmVerifier(activated).appraise(evidence, rules, now)

    assert component(appraisal, "EK certificate").tier is Tier.AFFIRMING
