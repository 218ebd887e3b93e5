"""What evidence states, without belief."""

from __future__ import annotations

import pytest
from tests.dcap.vectors import SGX, TDX
from tests.gpu import vectors as gpu
from tests.snp import vectors as snp
from tests.tpm.forge import NONCE, Tpm
from tests.tpm.forge import given as tpm_given

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Evidence, Kind, Tier
from hanse.attestation.draft import draft
from hanse.attestation.statement import read_statement
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.errors import EvidenceError


@pytest.mark.parametrize(
    ("evidence", "component", "bound_to"),
    [
        (SGX.evidence, "MRENCLAVE", SGX.bound_to),
        (TDX.evidence, "RTMR3", TDX.bound_to),
        (snp.recorded("trustee"), "MEASUREMENT", snp.report_of("trustee")[0x50:0x90]),
        (Tpm().evidence(), "PCR 11", NONCE),
        (gpu.recorded(), "driver", gpu.NONCE),
    ],
    ids=["sgx", "tdx", "snp", "tpm", "gpu"],
)
def test_each_kind_states_its_image_and_what_it_is_bound_to(
    evidence: Evidence, component: str, bound_to: bytes
) -> None:
    stated = read_statement(evidence)

    assert stated.values[component]
    assert stated.report_data == bound_to


def test_a_forged_file_states_what_it_likes() -> None:
    forged = bytearray(TDX.quote)
    forged[0x210] ^= 1  # in RTMR1

    assert read_statement(Evidence(Kind.TDX, bytes(forged))) != read_statement(TDX.evidence)


def test_evidence_that_cannot_be_parsed_is_refused() -> None:
    with pytest.raises(EvidenceError):
        read_statement(Evidence(Kind.SNP, b"short"))


def test_a_draft_of_genuine_evidence_accepts_its_image_and_its_machine() -> None:
    policy = draft(TDX.evidence, "recorded", TDX.given())

    assert policy.tdx is not None
    assert policy.tdx.machines == (appraise(TDX.evidence, policy, TDX.given()).machine,)
    assert appraise(TDX.evidence, policy, TDX.given()).differing == ()


def test_a_draft_is_as_strict_as_can_be_where_evidence_does_not_decide() -> None:
    policy = draft(SGX.evidence, "recorded", SGX.given())

    differing = [check.component for check in appraise(SGX.evidence, policy, SGX.given()).differing]
    assert differing == ["TCB status", "advisories"]


@pytest.mark.parametrize("name", ["virtee-sev", "trustee"])
def test_a_draft_of_a_report_of_milan_asks_for_a_reason(name: str) -> None:
    evidence = snp.recorded(name)

    policy = draft(evidence, "recorded", snp.given(evidence))

    assert policy.snp is not None
    assert "DRAFT" in policy.snp.products[0].model_dump()["reason"]


def test_a_draft_of_a_gpu_has_all_measurements() -> None:
    policy = draft(gpu.recorded(), "recorded", gpu.given())

    assert policy.gpu is not None
    assert policy.gpu.machines == (gpu.MACHINE,)
    assert policy.gpu.chips == ("GH100",)
    assert len(policy.gpu.rows[0].model_dump()["measurements"]) > 10


def test_a_draft_of_a_tpm_has_all_quoted_registers_and_its_ek() -> None:
    tpm = Tpm()
    verifiers = Verifiers(tpm=TpmVerifier(tpm.activated))

    policy = draft(tpm.evidence(), "recorded", tpm_given(), verifiers)

    assert policy.tpm is not None
    assert policy.tpm.machines == (tpm.machine,)
    assert appraise(tpm.evidence(), policy, tpm_given(), verifiers=verifiers).tier is Tier.WARNING


def test_no_draft_is_made_of_a_tpm_whose_ek_is_not_known() -> None:
    with pytest.raises(EvidenceError, match="--ek"):
        draft(Tpm().evidence(), "recorded", tpm_given())


def test_no_draft_is_made_of_evidence_that_is_not_genuine() -> None:
    forged = bytearray(TDX.quote)
    forged[0x210] ^= 1

    with pytest.raises(EvidenceError, match="signature"):
        draft(Evidence(Kind.TDX, bytes(forged)), "forged", TDX.given())
