"""`hanse attest`: recorded evidence verified, at its time and now, and how the command ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Ended, Hanse
from tests.dcap.forge import sgx as forged_sgx
from tests.dcap.policies import policy_of
from tests.dcap.vectors import FOLDER, SGX, TDX, Vector
from tests.gpu import vectors as gpu
from tests.policy_files import whole_policy, whole_text
from tests.snp import vectors as snp
from tests.tpm import vectors as tpm

from hanse.attestation.base import Evidence
from hanse.attestation.evidence_file import write_evidence
from hanse.attestation.policy.write import toml_of
from hanse.attestation.tpm.quote import read_quote

AT = ("--at", "2025-07-01T00:00Z")
BUNDLES = {vector.name: FOLDER / f"{vector.name}_collateral.json" for vector in (SGX, TDX)}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Evidence files, and a policy that accepts the recorded images."""
    for name, evidence in {
        "sgx": SGX.evidence,
        "tdx": TDX.evidence,
        "snp": snp.recorded("virtee-sev"),
        "gpu": gpu.recorded(),
        "forged": forged_sgx(),
    }.items():
        (tmp_path / f"{name}.json").write_bytes(write_evidence(evidence))
    policy = whole_policy(
        sgx=policy_of(
            SGX,
            statuses=["ConfigurationAndSWHardeningNeeded"],
            advisories=["INTEL-SA-00289", "INTEL-SA-00615"],
        ),
        tdx=policy_of(TDX),
        snp=snp.policy_values(),
        gpu=gpu.policy(),
    )
    (tmp_path / "policy.toml").write_text(toml_of(policy))
    return tmp_path


@pytest.fixture
def verify(files: Path, hanse: Hanse) -> Any:
    def run(vector: Vector, *more: object, bound_to: bytes | None = None) -> Ended:
        return hanse(
            *("attest", "verify", files / f"{vector.kind}.json", "--policy", files / "policy.toml"),
            *("--collateral", BUNDLES[vector.name]),
            *("--report-data", (bound_to or vector.bound_to).hex()),
            *more,
        )

    return run


def test_recorded_evidence_is_affirmed_at_its_time(verify: Any) -> None:
    ended = verify(TDX, *AT)

    assert ended.code == 0
    assert "affirmed: 20 components as the policy says, at 2025-07-01T00:00:00Z" in ended.out
    assert "holds until 2025-07-19T10:00:35Z" in ended.out
    assert ended.err == ""


def test_a_status_that_the_policy_accepts_by_name_passes_with_a_warning(verify: Any) -> None:
    ended = verify(SGX, *AT)

    assert ended.code == 0
    assert "warning: TCB status" in ended.out
    assert "seen      ConfigurationAndSWHardeningNeeded" in ended.out
    assert "mend      On the host, change the BIOS settings" in ended.out
    assert "accepted with warnings: TCB status and advisories" in ended.out


def test_collateral_that_is_expired_now_is_refused(verify: Any) -> None:
    ended = verify(TDX)

    assert ended.code == 8
    assert "Fetch the current list" in ended.err
    assert ended.out == ""


def test_other_report_data_is_refused(verify: Any) -> None:
    ended = verify(TDX, *AT, bound_to=bytes(64))

    assert ended.code == 8
    assert "should be to 0000" in ended.err


def test_a_quote_of_another_root_is_refused(files: Path, hanse: Hanse) -> None:
    ended = hanse(
        *("attest", "verify", files / "forged.json", "--policy", files / "policy.toml", *AT),
        *("--collateral", BUNDLES[SGX.name], "--report-data", "00" * 64),
    )

    assert ended.code == 8
    assert "root" in ended.err


def test_an_image_that_the_policy_does_not_name_is_refused_with_both_values(files: Path, verify: Any) -> None:
    text = (files / "policy.toml").read_text()
    rtmr1 = whole_policy(tdx=policy_of(TDX)).tdx.rows[0].rtmr1  # type: ignore[union-attr]
    (files / "policy.toml").write_text(text.replace(str(rtmr1), "ee" * 48))

    ended = verify(TDX, *AT)

    assert ended.code == 8
    assert "REFUSED: RTMR1" in ended.out
    assert f"  expected  {'ee' * 48}\n  seen      {rtmr1}\n" in ended.out
    assert "refused: the policy does not accept RTMR1" in ended.err


def test_a_kind_that_the_policy_does_not_name_is_refused(files: Path, verify: Any) -> None:
    (files / "policy.toml").write_text(toml_of(whole_policy(tdx=policy_of(TDX))))

    ended = verify(SGX, *AT)

    assert ended.code == 4
    assert "no section sgx" in ended.err


def test_json_has_the_whole_appraisal_with_its_vector(verify: Any) -> None:
    found = json.loads(verify(SGX, *AT, "--json").out)

    assert found["verdict"] == "accepted with warnings"
    assert found["passed"] is True
    assert found["vector"]["hardware"] == 32
    assert found["vector"]["executables"] == 2
    assert found["advisories"] == ["INTEL-SA-00289", "INTEL-SA-00615"]
    assert set(found) == {
        *("verdict", "passed", "kind", "at", "policy", "rehearsal", "tier", "vector", "checks", "machine"),
        *("measured", "advisories", "not_proven", "expires", "collateral"),
    }
    assert set(found["checks"][0]) == {"component", "aspect", "tier", "expected", "seen", "note", "mend"}


@pytest.mark.parametrize(
    ("name", "evidence", "bound_to"),
    [("snp", snp.recorded("virtee-sev"), None), ("gpu", gpu.recorded(), gpu.NONCE)],
)
def test_evidence_that_only_its_nonce_makes_fresh_is_said_to_be_so(
    name: str, evidence: Evidence, bound_to: bytes | None, files: Path, hanse: Hanse
) -> None:
    chain = files / "amd/vcek/Milan/cert_chain"
    chain.parent.mkdir(parents=True)
    chain.write_bytes(snp.COLLATERAL["amd/vcek/Milan/cert_chain"])
    (files / "collateral").mkdir()
    (files / "amd").rename(files / "collateral/amd")

    ended = hanse(
        *("attest", "verify", files / f"{name}.json", "--policy", files / "policy.toml"),
        *("--collateral", files / "collateral", "--at", "2026-12-01"),
        *("--report-data", (bound_to or evidence.quote[0x50:0x90]).hex()),
    )

    assert ended.code == 0, ended.err
    assert "only the nonce in what it is bound to makes it fresh" in ended.out


def test_a_tpm_is_verified_with_the_ek_that_a_person_names(tmp_path: Path, hanse: Hanse) -> None:
    vector = tpm.swtpm("ecc")
    (tmp_path / "tpm.json").write_bytes(write_evidence(vector.evidence))
    (tmp_path / "ek").write_bytes(vector.ek)
    (tmp_path / "policy.toml").write_text(toml_of(whole_policy(tpm=tpm.rehearsal(vector.ek))))
    bound_to = read_quote(vector.evidence.quote).qualifying.hex()
    words = ("attest", "verify", tmp_path / "tpm.json", "--policy", tmp_path / "policy.toml")

    ended = hanse(*words, "--report-data", bound_to, "--ek", tmp_path / "ek", "--rehearsal")

    assert ended.code == 0, ended.err
    assert "REHEARSAL: " in ended.out
    assert "confidentiality of memory" in ended.out
    assert "only the nonce in what it is bound to makes it fresh" in ended.out
    assert hanse(*words, "--report-data", bound_to, "--rehearsal").code == 8
    assert hanse(*words, "--report-data", bound_to, "--ek", tmp_path / "ek").code == 4


def test_what_a_file_states_is_shown_and_said_not_to_be_verified(files: Path, hanse: Hanse) -> None:
    ended = hanse("attest", "evidence", files / "forged.json")

    assert ended.code == 0
    assert "NOT VERIFIED" in ended.out
    assert "MRENCLAVE" in ended.out
    assert json.loads(hanse("attest", "evidence", files / "forged.json", "--json").out)["verified"] is False


def test_single_files_are_packed(tmp_path: Path, hanse: Hanse) -> None:
    quote = FOLDER / "dcap-qvl/tdx_quote"

    ended = hanse("attest", "pack", tmp_path / "e.json", "--kind", "tdx", "--quote", quote)

    assert ended.code == 0
    assert (tmp_path / "e.json").read_bytes() == write_evidence(TDX.evidence)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--kind", "sev"), "'sev' is none of sgx"),
        (("--kind", "tdx", "--part", "event-log"), "not NAME=FILE"),
    ],
)
def test_single_files_of_nothing_known_are_refused(
    options: tuple[str, ...], told: str, tmp_path: Path, hanse: Hanse
) -> None:
    ended = hanse("attest", "pack", tmp_path / "e", "--quote", FOLDER / "dcap-qvl/tdx_quote", *options)

    assert ended.code == 2
    assert told in ended.err


def test_a_policy_is_checked_and_put_in_words(tmp_path: Path, hanse: Hanse) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(whole_text())

    ended = hanse("attest", "policy", path)

    assert ended.code == 0
    assert "machines = any: every machine that Intel certified counts" in ended.out
    assert f"digest {whole_policy().digest}\n" in ended.out
    assert json.loads(hanse("attest", "policy", path, "--json").out)["digest"] == whole_policy().digest


def test_a_policy_with_a_mistake_ends_with_3_and_its_line(tmp_path: Path, hanse: Hanse) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('format = "hanse-policy-1"\n[tdx]\nmachines = "all"\n')

    ended = hanse("attest", "policy", path)

    assert ended.code == 3
    assert "policy.toml:3: tdx.machines" in ended.err
    assert "policy.toml:2: tdx.rows: is missing" in ended.err


def test_a_draft_of_genuine_evidence_is_a_policy_that_accepts_it(files: Path, hanse: Hanse) -> None:
    drafted = hanse(
        *("attest", "policy", "--from", files / "tdx.json", "--name", "recorded", *AT),
        *("--collateral", BUNDLES[TDX.name]),
    )
    (files / "draft.toml").write_text(drafted.out)

    ended = hanse(
        *("attest", "verify", files / "tdx.json", "--policy", files / "draft.toml", *AT),
        *("--collateral", BUNDLES[TDX.name], "--report-data", TDX.bound_to.hex()),
    )

    assert drafted.out.startswith("# DRAFT from genuine evidence (tdx): read every line.")
    assert ended.code == 0


def test_no_draft_comes_of_evidence_that_is_not_genuine(files: Path, hanse: Hanse) -> None:
    ended = hanse(
        *("attest", "policy", "--from", files / "forged.json", *AT, "--collateral", BUNDLES[SGX.name])
    )

    assert ended.code == 8
    assert ended.out == ""


def test_collateral_is_kept_and_used_from_its_store(files: Path, verify: Any, hanse: Hanse) -> None:
    kept = hanse("attest", "collateral", BUNDLES[TDX.name], "--store", files / "store", *AT)

    assert kept.code == 0
    assert "TCB information of: tdx/b0c06f000000" in kept.out
    assert "the first ends 2025-07-19T10:00:35Z" in kept.out
    found = json.loads(hanse("attest", "collateral", files / "store", *AT, "--json").out)
    assert set(found) == {"expires", "floors", "unchecked"}
    assert found["floors"]["evaluation"]["qe-identity/tdx"] == 17
    ended = hanse(
        *("attest", "verify", files / "tdx.json", "--policy", files / "policy.toml", *AT),
        *("--collateral", files / "store", "--report-data", TDX.bound_to.hex()),
    )
    assert ended.code == 0


def test_older_collateral_than_a_store_has_seen_is_refused(files: Path, hanse: Hanse) -> None:
    store = files / "store"
    hanse("attest", "collateral", BUNDLES[TDX.name], "--store", store, *AT)
    floors = json.loads((store / "floors.json").read_text())
    floors["evaluation"]["tcb-info/tdx/b0c06f000000"] = 18
    (store / "floors.json").write_text(json.dumps(floors))

    kept = hanse("attest", "collateral", BUNDLES[TDX.name], "--store", store, *AT)
    verified = hanse(
        *("attest", "verify", files / "tdx.json", "--policy", files / "policy.toml", *AT),
        *("--collateral", store, "--report-data", TDX.bound_to.hex()),
    )

    assert (kept.code, verified.code) == (8, 8)
    assert "18" in kept.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--report-data or --claims"),
        (("--report-data", "00"), "should be 64 bytes for tdx"),
        (("--report-data", "00" * 64, "--at", "yesterday"), "not a time"),
    ],
)
def test_a_question_that_lacks_something_is_not_answered(
    options: tuple[str, ...], told: str, files: Path, hanse: Hanse
) -> None:
    ended = hanse("attest", "verify", files / "tdx.json", "--policy", files / "policy.toml", *options)

    assert ended.code in (2, 3)
    assert told in ended.err
