"""dcap-qvl comes to the same status for machines and levels of every kind."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dcap import forge
from tests.dcap.forge import AT, isv_level, maker, module, tcb_info
from tests.dcap.oracle import oracle
from tests.dcap.policies import ANY, sgx_policy, tdx_policy
from tests.thorough import examples

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.dcap.tcb_status import Status, worst
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier

STATUSES = [
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
]
REFUSED = {"Revoked", "NotSupported"}
SMALL = st.integers(4, 6)


@st.composite
def levels(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Levels in the order of Intel's documents: none has a component above that of an earlier one."""
    found = []
    for svn, pce in sorted(draw(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=4)), reverse=True):
        tdx = [0, 0, *draw(st.lists(st.integers(0, 2), min_size=14, max_size=14))]
        advisories = draw(st.lists(st.sampled_from(["INTEL-SA-00001", "INTEL-SA-00002"]), unique=True))
        status = draw(st.sampled_from(STATUSES))
        found.append(forge.level(status, svn, pce, tdx, advisoryIDs=advisories))
    return found


def agrees(
    kind: Kind, evidence: Evidence, info: dict[str, Any], enclave: dict[str, Any], *, stricter: bool = False
) -> None:
    """Hold both verdicts against each other; ours may be worse where it is `stricter`."""
    collateral, root = maker().collateral(kind, info, enclave), maker().root.certificate
    circumstances = forge.given(collateral)
    if kind is Kind.SGX:
        ours = SgxVerifier(root).appraise(evidence, sgx_policy(), circumstances)
    else:
        ours = TdxVerifier(root).appraise(evidence, tdx_policy(mrservicetd=ANY), circumstances)
    status = ours.measured["TCB status"]
    try:
        theirs, advisories = oracle(evidence.quote, collateral, AT, root)
    except ValueError as error:
        assert status in REFUSED, (status, error)  # noqa: PT017
    else:
        if stricter:
            assert worst((Status(status), Status(theirs))) is Status(status)
            assert set(advisories) <= set(ours.advisories)
        else:
            assert (theirs, advisories) == (status, list(ours.advisories))


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(levels(), st.lists(SMALL, min_size=16, max_size=16), SMALL, st.integers(1, 9))
def test_for_enclaves(found: list[dict[str, Any]], svns: list[int], pce: int, enclave_svn: int) -> None:
    pck = maker().with_platform(svns, pce)
    enclave = forge.identity(
        Kind.SGX, tcbLevels=[isv_level("UpToDate", enclave_svn), isv_level("OutOfDate", 1)]
    )

    agrees(Kind.SGX, forge.sgx(pck=pck), tcb_info(Kind.SGX, tcbLevels=found), enclave)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    levels(),
    st.lists(st.integers(0, 3), min_size=16, max_size=16),
    st.sampled_from(["UpToDate", "OutOfDate", "Revoked"]),
    st.integers(1, 9),
)
def test_for_trust_domains(
    found: list[dict[str, Any]], svns: list[int], status: str, enclave_svn: int
) -> None:
    evidence = forge.tdx(forge.td_report(svn=[svns[0], 1, *svns[2:]]))
    identities = [module([isv_level("UpToDate", 3), isv_level(status, 0)])]
    info = tcb_info(Kind.TDX, tcbLevels=found, tdxModuleIdentities=identities)
    enclave = forge.identity(
        Kind.TDX, tcbLevels=[isv_level("UpToDate", enclave_svn), isv_level("OutOfDate", 1)]
    )

    agrees(Kind.TDX, evidence, info, enclave)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    levels(),
    st.lists(st.integers(0, 3), min_size=16, max_size=16),
    st.lists(st.integers(0, 2), min_size=16, max_size=16),
    st.sampled_from(["UpToDate", "OutOfDate", "Revoked"]),
    st.integers(6, 9),
)
def test_for_trust_domains_whose_host_was_updated(
    found: list[dict[str, Any]], launch: list[int], raised: list[int], status: str, enclave_svn: int
) -> None:
    now = [svn + more for svn, more in zip(launch, raised, strict=True)]
    report = forge.td_report(svn=[launch[0], 1, *launch[2:]], svn2=[now[0], 1, *now[2:]])
    identities = [module([isv_level("UpToDate", 3), isv_level(status, 0)])]
    info = tcb_info(Kind.TDX, tcbLevels=found, tdxModuleIdentities=identities)
    enclave = forge.identity(
        Kind.TDX, tcbLevels=[isv_level("UpToDate", enclave_svn), isv_level("OutOfDate", 1)]
    )

    agrees(Kind.TDX, forge.tdx(report, version=5), info, enclave, stricter=True)
