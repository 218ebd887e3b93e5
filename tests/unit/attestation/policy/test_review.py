"""The review of a policy: what it leaves open is said, with its reason."""

from __future__ import annotations

from tests.dcap.policies import sgx_table, tdx_table
from tests.policy_files import whole_policy
from tests.snp import vectors as snp
from tests.tpm import vectors as tpm

from hanse.attestation.policy.review import anythings, review


def test_each_any_is_shown_with_its_reason() -> None:
    policy = whole_policy()
    opened = [line for line in review(policy) if line.strip().startswith("any ")]

    assert len(opened) == len(list(anythings(policy))) > 10
    assert "  any mrservicetd: not of interest in this test" in opened
    assert "  any rows 'image'.measurement: a test of something else" in opened


def test_machines_of_anyone_are_said_with_what_that_means() -> None:
    lines = review(whole_policy(tdx=tdx_table()))

    assert any("machines = any: every machine that Intel certified counts" in line for line in lines)


def test_machines_that_are_named_are_counted() -> None:
    lines = review(whole_policy(tdx=tdx_table(machines=["00" * 16, "01" * 16])))

    assert "  2 machines accepted, by identity" in lines


def test_statuses_and_advisories_that_leave_flaws_open_are_warned_of() -> None:
    table = sgx_table(statuses=["UpToDate", "OutOfDate"], advisories=["INTEL-SA-00615"])
    warnings = [line for line in review(whole_policy(sgx=table)) if "warning: " in line]

    assert "OutOfDate" in warnings[0]
    assert "INTEL-SA-00615" in warnings[1]


def test_milan_is_warned_of_with_the_reason() -> None:
    lines = review(whole_policy(snp=snp.policy_values()))

    assert any("arXiv:2605.12990" in line and "recorded evidence, in a test" in line for line in lines)


def test_a_rehearsal_is_said_first() -> None:
    policy = whole_policy(tpm=tpm.rehearsal(tpm.swtpm("rsa").ek))

    assert policy.rehearsal
    assert review(policy)[0].startswith("REHEARSAL: software that plays a device is accepted.")


def test_kinds_that_are_refused_are_named() -> None:
    assert (
        review(whole_policy(tdx=tdx_table()))[-1]
        == "refused: evidence of every other kind (sgx, snp, tpm, gpu)"
    )
