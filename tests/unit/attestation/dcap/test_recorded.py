"""Recorded quotes get the verdict that is known of them, at their time, and expire."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.dcap.oracle import oracle
from tests.dcap.policies import ANY, policy_of
from tests.dcap.vectors import SGX, TDX, TDX_OUTDATED, Vector, day, file, production, version_5

from hanse.attestation.base import Appraisal, Evidence, Kind, Tier
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.reports import TdReport
from hanse.attestation.event_log import read_event_log
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.policy.tdx import TdxPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier, check_replay
from hanse.errors import EvidenceError

VECTORS = [SGX, TDX, TDX_OUTDATED, production(), version_5()]


def appraise(vector: Vector, at: datetime | None = None, **changes: object) -> Appraisal:
    policy = policy_of(vector, **changes)
    if isinstance(policy, SgxPolicy):
        return SgxVerifier().appraise(vector.evidence, policy, vector.given(at))
    return TdxVerifier().appraise(vector.evidence, policy, vector.given(at))


def test_the_sgx_quote_needs_configuration_and_hardening() -> None:
    appraisal = appraise(SGX)

    assert appraisal.measured["TCB status"] == "ConfigurationAndSWHardeningNeeded"
    assert appraisal.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert [check.component for check in appraisal.differing] == ["TCB status", "advisories"]
    assert appraisal.tier is Tier.CONTRAINDICATED
    assert SGX.bound_to.startswith(b"Hello, world!")


def test_what_a_policy_accepts_by_name_is_a_warning() -> None:
    appraisal = appraise(
        SGX,
        statuses=["UpToDate", "ConfigurationAndSWHardeningNeeded"],
        advisories=["INTEL-SA-00289", "INTEL-SA-00615"],
    )

    assert appraisal.tier is Tier.WARNING


def test_the_tdx_quote_is_up_to_date() -> None:
    appraisal = appraise(TDX)

    assert appraisal.tier is Tier.AFFIRMING
    assert appraisal.measured["TCB status"] == "UpToDate"
    assert appraisal.expires == datetime(2025, 7, 19, 10, 0, 35, tzinfo=UTC)
    assert set(appraisal.collateral) == {
        "root-crl",
        "pck-crl/platform",
        "tcb-info/tdx/b0c06f000000",
        "tcb-info/tdx/b0c06f000000.chain",
        "qe-identity/tdx",
        "qe-identity/tdx.chain",
    }


def test_no_level_fits_the_outdated_tdx_quote() -> None:
    appraisal = appraise(TDX_OUTDATED)

    (check,) = appraisal.differing
    assert check.seen == "NotSupported"
    assert "SEAMLDR ACM, OS/VMM): 3, newest 5" in check.note
    assert "update BIOS and microcode" in check.mend


def test_no_level_fits_the_production_quote_which_lacks_sept_ve_disable_too() -> None:
    appraisal = appraise(production())

    assert {check.component: check.seen for check in appraisal.differing} == {
        "TDATTRIBUTES SEPT_VE_DISABLE": "not set",
        "TDATTRIBUTES others": "0000004000000000",
        "TCB status": "NotSupported",
    }


def test_text_after_the_end_of_a_quote_is_refused() -> None:
    with pytest.raises(EvidenceError, match=r"39 bytes after its end .* Only zeros may follow"):
        read_quote(file("go-tdx-guest/tdx_prod_quote_SPR_E4.dat"), Kind.TDX)


def test_zeros_after_the_end_of_a_quote_are_taken() -> None:
    assert file("go-tdx-guest/cos-113-tdx-quote.dat").endswith(bytes(3000))

    read_quote(file("go-tdx-guest/cos-113-tdx-quote.dat"), Kind.TDX)


def test_the_quote_of_version_5_is_up_to_date() -> None:
    appraisal = appraise(version_5())

    assert appraisal.tier is Tier.AFFIRMING
    assert appraisal.measured["quote version"] == "5"
    assert appraisal.measured["MRSERVICETD"] == "00" * 48


def test_the_quote_of_version_5_is_refused_with_its_recorded_revocation_lists() -> None:
    vector = version_5()
    recorded = {"root-crl": file("go-tdx-guest/rootcrl.der"), "pck-crl/platform": file("go-tdx-guest/pckcrl")}

    with pytest.raises(EvidenceError, match="root-crl counts from 2023-04-03 until 2024-04-02"):
        appraise(replace(vector, collateral={**vector.collateral, **recorded}))


def test_a_debugged_domain_is_contraindicated_whatever_the_policy_says() -> None:
    vector = replace(production(), quote=file("trustee/tdx_quote_4.dat"))

    appraisal = appraise(
        vector,
        attributes={"debug": False, "migratable": ANY, "sept_ve_disable": ANY, "others": ANY},
        machines="any",
    )

    (check,) = appraisal.differing
    assert (check.component, check.tier) == ("TDATTRIBUTES DEBUG", Tier.CONTRAINDICATED)
    assert "The host can read" in check.note


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_recorded_evidence_is_refused_today_since_its_collateral_has_expired(vector: Vector) -> None:
    with pytest.raises(EvidenceError, match=r"counts from|is valid from"):
        appraise(vector, at=datetime.now(UTC))


@pytest.mark.parametrize("vector", [SGX, TDX, version_5()], ids=lambda vector: vector.name)
def test_dcap_qvl_comes_to_the_same_verdict(vector: Vector) -> None:
    appraisal = appraise(vector)

    found = oracle(vector.quote, vector.collateral, vector.at)

    assert found == (appraisal.measured["TCB status"], list(appraisal.advisories))


@pytest.mark.parametrize("vector", [TDX_OUTDATED, production()], ids=lambda vector: vector.name)
def test_dcap_qvl_finds_no_level_either(vector: Vector) -> None:
    with pytest.raises(ValueError, match="No matching TCB level"):
        oracle(vector.quote, vector.collateral, vector.at)


def test_without_collateral_the_missing_document_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"collateral root-crl is missing\. Fetch"):
        appraise(replace(TDX, collateral={}))


@pytest.mark.parametrize("name", ["pck-crl/platform", "tcb-info/tdx/b0c06f000000", "qe-identity/tdx.chain"])
def test_each_document_is_needed(name: str) -> None:
    rest = {key: value for key, value in TDX.collateral.items() if key != name}

    with pytest.raises(EvidenceError, match=f"collateral {name} is missing"):
        appraise(replace(TDX, collateral=rest))


def test_an_event_log_of_the_google_cloud_leads_to_the_registers_of_its_quote() -> None:
    log = read_event_log(file("go-tdx-guest/ccel_data.dat"))
    report = read_quote(file("go-tdx-guest/cos-113-tdx-quote.dat"), Kind.TDX).report
    assert isinstance(report, TdReport)

    check_replay(log, report)

    assert len(log.events) == 43


def test_an_event_log_of_another_machine_is_refused() -> None:
    log = file("go-tdx-guest/ccel_data.dat")
    evidence = Evidence(Kind.TDX, TDX.quote, parts={"event-log": log})
    policy = policy_of(TDX)
    assert isinstance(policy, TdxPolicy)

    with pytest.raises(EvidenceError, match=r"its events lead to [0-9a-f]{96} in RTMR0, and the quote has"):
        TdxVerifier().appraise(evidence, policy, TDX.given())


def test_the_pinned_root_is_intels() -> None:
    from hashlib import sha256

    from hanse.attestation.certificates import public_bytes
    from hanse.attestation.dcap.root import INTEL_ROOT_SHA256, intel_root

    assert sha256(public_bytes(intel_root())).hexdigest() == INTEL_ROOT_SHA256
    assert intel_root().not_valid_after_utc > day("2049-01-01")
