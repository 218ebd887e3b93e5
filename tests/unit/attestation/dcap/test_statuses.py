"""Every TCB status of platform, quoting enclave and TDX module leads to the verdict that Intel defines."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dcap import forge
from tests.dcap.forge import AT, given, isv_level, level, maker, module, tcb_info
from tests.dcap.oracle import oracle
from tests.dcap.policies import ALL, ANY, sgx_policy, tdx_policy

from hanse.attestation.base import Appraisal, Evidence, Kind, Tier
from hanse.attestation.dcap.tcb_status import MEANINGS, Status, worst
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier
from hanse.errors import EvidenceError

PUBLISHED = [*(status for status in ALL if not status.startswith("TD")), "Revoked"]
LAUNCHED_BEFORE = (1, 1)
"""SVN of the TDX module at the launch: minor, major; `forge` says that 3 is up to date and 1 is not."""


def appraise_sgx(info: dict[str, Any], enclave: dict[str, Any] | None = None, **changes: Any) -> Appraisal:
    collateral = maker().collateral(Kind.SGX, info, enclave)
    return SgxVerifier(maker().root.certificate).appraise(
        forge.sgx(), sgx_policy(**changes), given(collateral)
    )


def appraise_tdx(
    info: dict[str, Any], evidence: Evidence, enclave: dict[str, Any] | None = None, **changes: Any
) -> Appraisal:
    collateral = maker().collateral(Kind.TDX, info, enclave)
    return TdxVerifier(maker().root.certificate).appraise(evidence, tdx_policy(**changes), given(collateral))


def status_of(appraisal: Appraisal) -> tuple[str, Tier]:
    (check,) = (check for check in appraisal.checks if check.component == "TCB status")
    return check.seen, check.tier


@pytest.mark.parametrize("status", PUBLISHED)
def test_a_status_that_a_policy_does_not_accept_is_contraindicated(status: str) -> None:
    appraisal = appraise_sgx(tcb_info(Kind.SGX, tcbLevels=[level(status)]))

    expected = Tier.AFFIRMING if status == "UpToDate" else Tier.CONTRAINDICATED
    assert status_of(appraisal) == (status, expected)


@pytest.mark.parametrize("status", PUBLISHED)
def test_all_statuses_but_revoked_can_be_accepted_as_a_warning(status: str) -> None:
    appraisal = appraise_sgx(tcb_info(Kind.SGX, tcbLevels=[level(status)]), statuses=ALL)

    tiers = {"UpToDate": Tier.AFFIRMING, "Revoked": Tier.CONTRAINDICATED}
    assert status_of(appraisal) == (status, tiers.get(status, Tier.WARNING))


@pytest.mark.parametrize("status", PUBLISHED[:-1])
def test_dcap_qvl_states_the_same_status(status: str) -> None:
    info = tcb_info(Kind.TDX, tcbLevels=[level(status, advisoryIDs=["INTEL-SA-00001"])])
    evidence, collateral = forge.tdx(), maker().collateral(Kind.TDX, info)

    appraisal = appraise_tdx(info, evidence)

    found = oracle(evidence.quote, collateral, AT, maker().root.certificate)
    assert found == (appraisal.measured["TCB status"], list(appraisal.advisories))


def test_dcap_qvl_refuses_revoked_levels_too() -> None:
    collateral = maker().collateral(Kind.TDX, tcb_info(Kind.TDX, tcbLevels=[level("Revoked")]))

    with pytest.raises(ValueError, match=r"[Rr]evoked"):
        oracle(forge.tdx().quote, collateral, AT, maker().root.certificate)


@pytest.mark.parametrize("status", Status)
def test_each_status_says_what_it_means_and_what_to_do(status: Status) -> None:
    meaning = MEANINGS[status]

    assert meaning.note
    assert bool(meaning.mend) == (status is not Status.UP_TO_DATE)


def test_a_level_is_reached_only_with_every_component() -> None:
    info = tcb_info(Kind.SGX, tcbLevels=[level("UpToDate", svn=6), level("OutOfDate", svn=5)])

    assert status_of(appraise_sgx(info))[0] == "OutOfDate"


def test_a_level_is_reached_only_with_its_pce() -> None:
    info = tcb_info(Kind.SGX, tcbLevels=[level("UpToDate", pce=11), level("OutOfDate", pce=10)])

    appraisal = appraise_sgx(info)

    assert status_of(appraisal)[0] == "OutOfDate"
    assert any("PCE: 10, newest 11" in check.note for check in appraisal.checks)


def test_below_all_levels_no_policy_accepts() -> None:
    info = tcb_info(Kind.SGX, tcbLevels=[level("UpToDate", svn=9)])

    assert status_of(appraise_sgx(info, statuses=ALL)) == ("NotSupported", Tier.CONTRAINDICATED)


def test_advisories_that_are_not_accepted_are_named() -> None:
    info = tcb_info(
        Kind.SGX, tcbLevels=[level("SWHardeningNeeded", advisoryIDs=["INTEL-SA-00334", "INTEL-SA-00615"])]
    )

    appraisal = appraise_sgx(info, statuses=ALL, advisories=["INTEL-SA-00615"])

    (check,) = (check for check in appraisal.checks if check.component == "advisories")
    assert check.tier is Tier.CONTRAINDICATED
    assert check.note.startswith("Not accepted: INTEL-SA-00334. ")


@pytest.mark.parametrize(
    ("platform", "enclave", "whole"),
    [
        ("UpToDate", "OutOfDate", "OutOfDate"),
        ("SWHardeningNeeded", "OutOfDate", "OutOfDate"),
        ("ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
        ("ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
        ("OutOfDate", "OutOfDate", "OutOfDate"),
        ("UpToDate", "Revoked", "Revoked"),
        ("Revoked", "OutOfDate", "Revoked"),
    ],
)
def test_the_whole_is_as_bad_as_its_quoting_enclave(platform: str, enclave: str, whole: str) -> None:
    info = tcb_info(Kind.SGX, tcbLevels=[level(platform)])
    identity = forge.identity(Kind.SGX, tcbLevels=[isv_level("UpToDate", 9), isv_level(enclave, 8)])

    appraisal = appraise_sgx(info, identity)

    assert status_of(appraisal)[0] == whole
    assert "quoting enclave: SVN 8, newest 9" in next(
        check.note for check in appraisal.checks if check.component == "TCB status"
    )


def test_a_quoting_enclave_below_all_levels_is_not_accepted() -> None:
    identity = forge.identity(Kind.SGX, tcbLevels=[isv_level("UpToDate", 9)])

    appraisal = appraise_sgx(tcb_info(Kind.SGX), identity, statuses=ALL)

    assert status_of(appraisal) == ("NotSupported", Tier.CONTRAINDICATED)


def test_advisories_of_the_quoting_enclave_count() -> None:
    identity = forge.identity(
        Kind.SGX,
        tcbLevels=[isv_level("UpToDate", 9), isv_level("OutOfDate", 8, advisoryIDs=["INTEL-SA-00477"])],
    )

    assert appraise_sgx(tcb_info(Kind.SGX), identity).advisories == ("INTEL-SA-00477",)


@pytest.mark.parametrize(
    ("status", "whole"), [("UpToDate", "UpToDate"), ("OutOfDate", "OutOfDate"), ("Revoked",) * 2]
)
def test_the_whole_is_as_bad_as_its_tdx_module(status: str, whole: str) -> None:
    info = tcb_info(Kind.TDX, tdxModuleIdentities=[module([isv_level("UpToDate", 9), isv_level(status, 3)])])

    assert status_of(appraise_tdx(info, forge.tdx()))[0] == whole


def test_a_module_of_a_version_that_is_not_published_is_not_accepted() -> None:
    evidence = forge.tdx(forge.td_report(svn=(3, 2)))

    appraisal = appraise_tdx(tcb_info(Kind.TDX), evidence, statuses=ALL)

    assert status_of(appraisal) == ("NotSupported", Tier.CONTRAINDICATED)


def test_a_module_of_major_version_0_is_held_against_the_levels_of_the_platform() -> None:
    info = tcb_info(
        Kind.TDX,
        tcbLevels=[level("UpToDate", tdx=(4,) + (0,) * 15), level("OutOfDate", tdx=(3,) + (0,) * 15)],
    )

    appraisal = appraise_tdx(info, forge.tdx(forge.td_report(svn=(3, 0))))

    assert status_of(appraisal)[0] == "OutOfDate"
    assert "TDX component 1: 3, newest 4" in next(
        check.note for check in appraisal.checks if check.note[:1] == "T"
    )


def test_later_components_of_tdx_count_with_every_module() -> None:
    info = tcb_info(
        Kind.TDX,
        tcbLevels=[level("UpToDate", tdx=(9, 9, 1) + (0,) * 13), level("OutOfDate", tdx=(9, 9) + (0,) * 14)],
    )

    assert status_of(appraise_tdx(info, forge.tdx()))[0] == "OutOfDate"


def relaunch(evidence: Evidence, platform: str = "UpToDate", **more: Any) -> str:
    info = tcb_info(Kind.TDX, tcbLevels=[level(platform)], **more)
    return status_of(appraise_tdx(info, evidence, statuses=ALL, mrservicetd=ANY))[0]


def test_a_domain_started_before_an_update_of_the_module_should_start_again() -> None:
    updated = forge.tdx(forge.td_report(svn=LAUNCHED_BEFORE, svn2=(3, 1)), version=5)

    assert relaunch(updated) == "TDRelaunchAdvised"
    assert relaunch(updated, "ConfigurationNeeded") == "TDRelaunchAdvisedConfigurationNeeded"


def test_starting_again_does_not_help_where_the_module_is_still_outdated() -> None:
    outdated = forge.tdx(forge.td_report(svn=LAUNCHED_BEFORE, svn2=LAUNCHED_BEFORE), version=5)

    assert relaunch(outdated) == "OutOfDate"


def test_a_td_report_1_0_does_not_say_whether_starting_again_helps() -> None:
    assert relaunch(forge.tdx(forge.td_report(svn=LAUNCHED_BEFORE), version=5)) == "OutOfDate"


def test_starting_again_does_not_help_an_outdated_quoting_enclave() -> None:
    updated = forge.tdx(forge.td_report(svn=LAUNCHED_BEFORE, svn2=(3, 1)), version=5)
    enclave = forge.identity(Kind.TDX, tcbLevels=[isv_level("UpToDate", 9), isv_level("OutOfDate", 8)])

    appraisal = appraise_tdx(tcb_info(Kind.TDX), updated, enclave, statuses=ALL)

    assert status_of(appraisal)[0] == "OutOfDate"


def test_a_module_that_is_worse_now_than_at_the_launch_counts() -> None:
    """Intel's library states the launch here, and dcap-qvl does; what runs now has the known flaws."""
    downgraded = forge.tdx(forge.td_report(svn=(3, 1), svn2=LAUNCHED_BEFORE), version=5)

    assert relaunch(downgraded) == "OutOfDate"


def test_a_module_of_now_that_is_not_published_is_not_accepted() -> None:
    assert relaunch(forge.tdx(forge.td_report(svn=(3, 1), svn2=(3, 2)), version=5)) == "NotSupported"


@pytest.mark.parametrize("change", [{"mrsignerseam": "01" * 48}, {"seam_attributes": b"\1" + bytes(7)}])
def test_a_module_that_is_not_intels_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError, match=r"TDX module: its (signer|SEAMATTRIBUTES)"):
        appraise_tdx(tcb_info(Kind.TDX), forge.tdx(forge.td_report(**change)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mrsigner": "ab" * 32}, "MRSIGNER"),
        ({"isvprodid": 2}, "ISVPRODID"),
        ({"miscselect": "01000000"}, "MISCSELECT"),
        ({"attributes": "13000000000000000000000000000000"}, "ATTRIBUTES"),
    ],
)
def test_a_quoting_enclave_that_is_not_intels_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(EvidenceError, match=f"quoting enclave: its {named} is"):
        appraise_sgx(tcb_info(Kind.SGX), forge.identity(Kind.SGX, **change))


def test_the_worst_status_does_not_depend_on_the_order() -> None:
    for first in Status:
        for second in Status:
            assert worst((first, second)) is worst((second, first))
            assert worst((first, worst((first, second)))) is worst((first, second))
