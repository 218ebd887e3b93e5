"""Dispatch of evidence by its kind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.dcap.forge import given as forged_given
from tests.dcap.forge import sgx as forged_sgx
from tests.dcap.policies import policy_of, sgx_table, tdx_table
from tests.dcap.vectors import SGX, TDX
from tests.gpu import vectors as gpu
from tests.policy_files import whole_policy
from tests.snp import vectors as snp
from tests.tpm import vectors as tpm
from tests.tpm.forge import Tpm
from tests.tpm.forge import given as forged_tpm_given
from tests.tpm.forge import policy as forged_policy

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Circumstances, Evidence, Kind, Tier
from hanse.attestation.tpm.quote import read_quote
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.errors import EvidenceError, PolicyError


def test_evidence_of_each_kind_is_held_against_its_own_section() -> None:
    policy = whole_policy(sgx=policy_of(SGX), tdx=policy_of(TDX), snp=snp.policy_values(), gpu=gpu.policy())
    virtee = snp.recorded("virtee-sev")

    found = [
        appraise(SGX.evidence, policy, SGX.given()),
        appraise(TDX.evidence, policy, TDX.given()),
        appraise(virtee, policy, snp.given(virtee)),
        appraise(gpu.recorded(), policy, gpu.given()),
    ]

    assert [appraisal.kind for appraisal in found] == [Kind.SGX, Kind.TDX, Kind.SNP, Kind.GPU]
    assert found[1].tier is Tier.AFFIRMING


def test_a_kind_that_the_policy_does_not_name_is_refused() -> None:
    with pytest.raises(PolicyError, match="no section sgx"):
        appraise(SGX.evidence, whole_policy(tdx=tdx_table()), SGX.given())


def test_evidence_that_says_to_be_of_another_kind_is_refused() -> None:
    with pytest.raises(EvidenceError):
        appraise(Evidence(Kind.TDX, SGX.quote), whole_policy(tdx=tdx_table()), TDX.given())


def test_registers_that_are_mixed_from_two_images_are_refused() -> None:
    registers = policy_of(TDX).rows[0].model_dump()
    other = dict.fromkeys(registers, "ee" * 48) | {"name": "other"}
    mixed = [registers | {"rtmr2": other["rtmr2"], "name": "one"}, other | {"rtmr2": registers["rtmr2"]}]

    found = appraise(TDX.evidence, whole_policy(tdx=policy_of(TDX, rows=mixed)), TDX.given())

    (rtmr2,) = found.differing
    assert rtmr2.component == "RTMR2"
    assert "values of two images are mixed" in rtmr2.note


def test_software_that_plays_a_tpm_counts_in_a_rehearsal_alone() -> None:
    vector = tpm.swtpm("rsa")
    policy = whole_policy(tpm=tpm.rehearsal(vector.ek))
    verifiers = Verifiers(tpm=TpmVerifier(vector.activated))
    bound_to = read_quote(vector.evidence.quote).qualifying
    given = Circumstances(datetime(2026, 12, 1, tzinfo=UTC), bound_to)

    found = appraise(vector.evidence, policy, given, rehearsal=True, verifiers=verifiers)

    assert found.tier is Tier.WARNING
    with pytest.raises(PolicyError, match="for a rehearsal"):
        appraise(vector.evidence, policy, given, verifiers=verifiers)


def test_a_tpm_whose_ak_no_one_has_activated_is_refused() -> None:
    tpm_ = Tpm()
    with pytest.raises(EvidenceError, match="not activated"):
        appraise(tpm_.evidence(), whole_policy(tpm=forged_policy(tpm_)), forged_tpm_given())


def test_a_quote_of_another_root_is_refused() -> None:
    evidence = forged_sgx()
    with pytest.raises(EvidenceError, match="root"):
        appraise(evidence, whole_policy(sgx=sgx_table()), forged_given({}))
