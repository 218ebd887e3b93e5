"""Reports of GPUs that are not recorded get their right verdict too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.gpu.forge import ONE_HOUR, Forged, block, field_of, revocation_list, root
from tests.gpu.vectors import ANY, NOW, given, policy, recorded

from hanse.attestation.base import Appraisal, Floors, Tier
from hanse.attestation.gpu.verifier import GpuVerifier
from hanse.errors import EvidenceError

SET = {
    "name": "set",
    "driver": "570.1",
    "vbios": ANY,
    "measurements": {"1": ["0a" * 48], "2": ["00" * 48, "0b" * 48]},
}
L1, L2 = "nvidia/crl/l1-root.crl", "nvidia/crl/l2-gb100.crl"


def appraise(forged: Forged, floors: Floors | None = None, **collateral: bytes) -> Appraisal:
    rules = policy(machines="any", chips=["GB100"], feature="MPT", rows=[SET])
    documents = dict(zip((L1, L2), collateral.values(), strict=False))
    circumstances = given(collateral=documents, floors=floors or Floors())
    return GpuVerifier(root()).appraise(forged.evidence(), rules, circumstances)


def refusal(forged: Forged, floors: Floors | None = None, **collateral: bytes) -> str:
    with pytest.raises(EvidenceError) as refused:
        appraise(forged, floors, **collateral)
    return str(refused.value)


def test_a_newer_gpu_states_its_feature_and_is_affirmed_but_for_its_mode() -> None:
    found = appraise(Forged())

    assert [check.component for check in found.differing] == ["mode of confidential computing"]
    assert found.tier is Tier.WARNING
    assert found.measured["FEATURE_FLAG"] == "MPT"
    assert found.machine == "101"


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        (Forged(request=b"\x12\xe0\x01\xff"), "the version of the request is 0x12"),
        (Forged(request=b"\x11\xe1\x01\xff"), "the code of the request is 0xe1"),
        (Forged(request=b"\x11\xe0\x00\xff"), "did not ask for a signature"),
        (Forged(request=b"\x11\xe0\x01\x01"), "should be 0xff (all measurements)"),
        (Forged(response=b"\x10\x60\x00\x00"), "the version of the response"),
        (Forged(response=b"\x11\x7f\x00\x00"), "the code of the response is 0x7f"),
        (Forged(record=b"", count=0), "has no measurements"),
        (Forged(count=3), "its index takes 1 bytes"),
        (Forged(count=1), "are not padding"),
        (Forged(record=block(1, b"a") * 2), "the index 1 of a measurement is zero or there twice"),
        (Forged(record=block(0, b"a"), count=1), "the index 0"),
        (Forged(record=block(1, b"a", 2), count=1), "of another specification"),
        (Forged(record=b"\1\1\4\0\1\2\0a", count=1), "its value takes 2 bytes"),
        (Forged(opaque=field_of(3, b"a") * 2), "has the field DRIVER_VERSION twice"),
        (Forged(opaque=b"\3"), "its type takes 2 bytes"),
        (Forged(opaque=field_of(20, bytes(48))), "its FWID 0000"),
    ],
)
def test_what_the_specification_forbids_is_refused_though_it_is_signed(forged: Forged, words: str) -> None:
    assert words in refusal(forged)


def test_another_root_is_refused() -> None:
    with pytest.raises(EvidenceError, match="GB100 Identity was not issued by"):
        GpuVerifier().appraise(Forged().evidence(), policy(), given())


def test_another_root_that_comes_along_is_refused() -> None:
    with pytest.raises(EvidenceError, match="ends in another root"):
        GpuVerifier(root()).appraise(recorded(), policy(), given())


def test_fields_without_a_name_are_shown() -> None:
    found = appraise(Forged(opaque=field_of(3, b"570.1") + field_of(99, b"\1\2") + field_of(36, b"\1")))

    assert found.measured["opaque field 99"] == "0102"


def test_current_lists_are_used_and_end_the_verdict() -> None:
    found = appraise(Forged(), root=revocation_list(3), product=revocation_list(2))

    assert set(found.collateral) == {L1, L2}
    assert found.expires == NOW + ONE_HOUR


@pytest.mark.parametrize("place", [2, 3])
def test_a_revoked_certificate_is_refused(place: int) -> None:
    words = refusal(
        Forged(), root=revocation_list(3, revoked=place == 3), product=revocation_list(2, revoked=place == 2)
    )

    assert "was revoked by its issuer" in words


def test_an_older_list_after_a_newer_one_is_refused() -> None:
    assert "was seen before" in refusal(Forged(), Floors(issued={L1: NOW}), root=revocation_list(3))


def test_a_report_without_its_mode_is_refused() -> None:
    found = appraise(replace(Forged(), mode=None))

    assert found.tier is Tier.CONTRAINDICATED
