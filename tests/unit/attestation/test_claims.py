"""Evidence is bound to every claim."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hanse.attestation.base import Kind
from hanse.attestation.claims import Claims, report_data

CLAIMS: dict[str, Any] = {
    "purpose": "run",
    "verifier": "1" * 64,
    "nonce": "2" * 64,
    "federation": "hearts",
    "role": "collaborator",
    "name": "oslo",
    "signer": "3" * 64,
    "seal": "4" * 64,
    "speak": "5" * 64,
    "run": "train-1",
    "plan": "6" * 64,
    "roster": "7" * 64,
    "policy": "8" * 64,
    "devices": ("9" * 64,),
    "log": "a" * 64,
    "rehearsal": False,
}
OTHER: dict[str, Any] = {
    "purpose": "release",
    "role": "aggregator",
    "federation": "lungs",
    "name": "rome",
    "run": "train-2",
    "devices": (),
    "log": "",
    "rehearsal": True,
}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("kind", [Kind.TDX, Kind.TPM])
def test_another_value_of_any_claim_is_another_binding(kind: Kind, name: str) -> None:
    changed = Claims(**CLAIMS | {name: OTHER.get(name, "b" * 64)})

    assert report_data(changed, kind) != report_data(Claims(**CLAIMS), kind)


@pytest.mark.parametrize(("kind", "size"), [(Kind.SGX, 64), (Kind.SNP, 64), (Kind.TPM, 32), (Kind.GPU, 32)])
def test_a_binding_has_the_size_that_the_device_takes(kind: Kind, size: int) -> None:
    assert len(report_data(Claims(**CLAIMS), kind)) == size


def test_an_unknown_claim_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Claims(**CLAIMS, color="red")


def test_a_missing_claim_is_refused() -> None:
    with pytest.raises(ValidationError, match="roster"):
        Claims(**{name: value for name, value in CLAIMS.items() if name != "roster"})
