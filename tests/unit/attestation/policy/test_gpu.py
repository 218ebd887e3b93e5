"""A policy of GPU evidence says everything, or gives a reason why it does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.gpu.vectors import ROW, policy

from hanse.attestation.policy.gpu import GpuPolicy


def refusal(**others: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        policy(**others)
    return str(refused.value)


@pytest.mark.parametrize("name", GpuPolicy.model_fields)
def test_a_field_that_is_not_set_is_refused(name: str) -> None:
    values = policy().model_dump(mode="json")
    del values[name]

    with pytest.raises(ValidationError, match=f"{name}\n  Field required"):
        GpuPolicy.model_validate(values)


@pytest.mark.parametrize("name", ROW)
def test_a_value_of_a_row_that_is_not_set_is_refused(name: str) -> None:
    assert "Field required" in refusal(rows=[{key: value for key, value in ROW.items() if key != name}])


@pytest.mark.parametrize("mode", ["off", "devtools"])
def test_no_policy_names_another_mode_than_on(mode: str) -> None:
    assert "mode" in refusal(mode=mode)


def test_two_rows_of_one_name_are_refused() -> None:
    assert "2 rows have the name 'set'" in refusal(rows=[ROW, ROW])
