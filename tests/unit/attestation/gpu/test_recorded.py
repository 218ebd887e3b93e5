"""A recorded report of a GPU gets the verdict that it should have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from tests.gpu.vectors import ANY, MACHINE, REPORT, ROW, given, policy, recorded

from hanse.attestation.base import Appraisal, Aspect, Evidence, Kind, Tier
from hanse.attestation.gpu.chain import check_gpu_chain
from hanse.attestation.gpu.report import check_signature, read_report
from hanse.attestation.gpu.root import NVIDIA_ROOT_SHA256, nvidia_root
from hanse.attestation.gpu.verifier import MODE, GpuVerifier
from hanse.errors import EvidenceError

VERIFIER = GpuVerifier()


def appraise(evidence: Evidence | None = None, **others: object) -> Appraisal:
    return VERIFIER.appraise(evidence or recorded(), policy(**others), given())


def tiers(evidence: Evidence | None = None, **others: object) -> dict[str, Tier]:
    return {check.component: check.tier for check in appraise(evidence, **others).differing}


def refusal(evidence: Evidence, **others: object) -> str:
    with pytest.raises(EvidenceError) as refused:
        VERIFIER.appraise(evidence, policy(), given(**others))
    return str(refused.value)


def references() -> dict[str, list[str]]:
    """The recorded measurements, as a policy has them."""
    measured = appraise().measured
    return {str(index): [measured[f"measurement {index}"]] for index in range(1, 65)}


def test_the_pinned_root_is_that_whose_digest_is_published() -> None:
    assert nvidia_root().fingerprint(SHA256()).hex() == NVIDIA_ROOT_SHA256


def test_without_reference_values_a_gpu_is_inspected_and_not_affirmed() -> None:
    found = appraise()

    assert found.tier is Tier.WARNING
    notes = {check.component: check.note for check in found.differing}
    assert set(notes) == {"firmware measurements", "mode of confidential computing"}
    assert all(note.startswith("Inspected, not affirmed.") for note in notes.values())


def test_the_mode_is_said_to_be_unsigned() -> None:
    assert appraise().not_proven == (
        "The mode 'on' is what the driver states: no signature of the GPU covers it.",
    )


def test_a_gpu_has_the_serial_number_of_its_identity() -> None:
    assert appraise().machine == MACHINE
    assert tiers(machines=["1234"])["identity"] is Tier.CONTRAINDICATED


def test_nothing_of_a_gpu_expires() -> None:
    assert appraise().expires is None


def test_firmware_with_all_its_reference_values_is_affirmed() -> None:
    rows = [ROW | {"name": "other", "driver": "1"}, ROW | {"measurements": references()}]

    assert appraise(rows=rows).vector[Aspect.EXECUTABLES] is Tier.AFFIRMING


def test_a_measurement_without_reference_value_is_a_warning() -> None:
    rows = [ROW | {"measurements": references() | {"2": ANY}}]

    (check,) = (check for check in appraise(rows=rows).differing if check.component.startswith("firmware"))

    assert check.note.startswith("Inspected, not affirmed: 2.")


@pytest.mark.parametrize("changed", [{"2": ["00" * 48]}, {"65": ["00" * 48]}, {"64": None}])
def test_a_measurement_that_differs_or_that_one_side_lacks_is_refused(changed: dict[str, object]) -> None:
    values = {index: value for index, value in (references() | changed).items() if value is not None}

    found = tiers(rows=[ROW | {"measurements": values}])

    assert found["firmware measurements"] is Tier.CONTRAINDICATED


@pytest.mark.parametrize(("key", "component"), [("driver", "DRIVER_VERSION"), ("vbios", "VBIOS_VERSION")])
def test_another_version_is_refused(key: str, component: str) -> None:
    assert tiers(rows=[ROW | {key: "1.0"}])[component] is Tier.CONTRAINDICATED


def test_a_feature_that_is_not_stated_is_refused_where_one_is_expected() -> None:
    assert tiers(feature="SPT")["FEATURE_FLAG"] is Tier.CONTRAINDICATED


@pytest.mark.parametrize("mode", [b"off", b"devtools\n", None])
def test_another_mode_or_none_is_refused(mode: bytes | None) -> None:
    evidence = replace(recorded(), parts={} if mode is None else {MODE: mode})

    assert tiers(evidence)["mode of confidential computing"] is Tier.CONTRAINDICATED


def test_another_chip_is_refused() -> None:
    assert tiers(chips=["GB100"])["chip"] is Tier.CONTRAINDICATED


def test_revocation_lists_can_be_required() -> None:
    (check,) = (c for c in appraise(revocation="required").differing if c.component == "revocation")

    assert check.tier is Tier.CONTRAINDICATED
    assert check.seen == "no list nvidia/crl/l2-gh100.crl, nvidia/crl/l1-root.crl"


def test_another_nonce_is_refused() -> None:
    assert "its nonce is" in refusal(recorded(), report_data=bytes(32))


def test_a_time_before_the_certificates_is_refused() -> None:
    assert "is valid from" in refusal(recorded(), at=datetime(2020, 1, 1, tzinfo=UTC))


def test_a_flip_of_any_byte_is_refused() -> None:
    key = check_gpu_chain(recorded(), nvidia_root(), given()).key
    check_signature(read_report(REPORT), key)
    for at in range(len(REPORT)):
        changed = bytearray(REPORT)
        changed[at] ^= 1 << at % 8
        with pytest.raises(EvidenceError):
            check_signature(read_report(bytes(changed)), key)


def test_text_after_a_report_is_refused_and_zeros_are_not() -> None:
    VERIFIER.appraise(replace(recorded(), quote=REPORT + bytes(9)), policy(), given())

    assert "are not padding" in refusal(replace(recorded(), quote=REPORT + b"text"))


@pytest.mark.parametrize("length", [0, 36, 37, 45, 3000, len(REPORT) - 1])
def test_a_report_that_is_cut_off_is_refused(length: int) -> None:
    assert "GPU report" in refusal(replace(recorded(), quote=REPORT[:length]))


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_chain_without_its_middle_is_refused(kept: int) -> None:
    chain = recorded().certificates

    assert "are too few" in refusal(replace(recorded(), certificates=(*chain[:kept], chain[-1])))


def test_the_root_may_be_left_out() -> None:
    assert appraise(replace(recorded(), certificates=recorded().certificates[:-1])).tier is Tier.WARNING


def test_unknown_parts_and_kinds_are_refused() -> None:
    assert "a part 'log' that is not taken" in refusal(replace(recorded(), parts={"log": b""}))
    assert "and should be on, off, devtools" in refusal(replace(recorded(), parts={MODE: b"perhaps"}))
    assert "is not GPU evidence" in refusal(Evidence(Kind.TPM, b""))
