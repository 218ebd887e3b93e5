"""A policy of SNP evidence says everything, or gives a reason why it does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.snp.vectors import ANY, GUEST_POLICY, ROW, levels, policy, policy_values, product

from hanse.attestation.policy.snp import SnpPolicy


def refusal(**others: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        policy(**others)
    return str(refused.value)


@pytest.mark.parametrize("name", policy_values())
def test_a_field_that_is_not_set_is_refused(name: str) -> None:
    values = policy_values()
    del values[name]

    with pytest.raises(ValidationError, match=f"{name}\n  Field required"):
        SnpPolicy.model_validate(values)


@pytest.mark.parametrize("name", ROW)
def test_a_value_of_a_row_that_is_not_set_is_refused(name: str) -> None:
    assert "Field required" in refusal(rows=[{key: value for key, value in ROW.items() if key != name}])


@pytest.mark.parametrize("name", GUEST_POLICY)
def test_a_setting_of_the_guest_that_is_not_set_is_refused(name: str) -> None:
    rest = {key: value for key, value in GUEST_POLICY.items() if key != name}

    assert "Field required" in refusal(guest_policy=rest)


@pytest.mark.parametrize("debug", [True, ANY])
def test_no_policy_accepts_a_guest_that_can_be_debugged(debug: object) -> None:
    assert "guest_policy.debug" in refusal(guest_policy=GUEST_POLICY | {"debug": debug})


def test_any_needs_a_reason() -> None:
    assert "at least 8 characters" in refusal(vmpl={"any": "so"})


def test_milan_is_accepted_only_by_who_knows_what_is_published() -> None:
    unaware = {key: value for key, value in product("Milan").items() if key != "in_spite_of"}

    assert "in_spite_of\n  Field required" in refusal(products=[unaware])


def test_turin_has_a_level_of_its_own() -> None:
    assert "fmc\n  Field required" in refusal(products=[product("Turin", least_launch=levels())])


def test_settings_are_not_guessed_from_text() -> None:
    assert "guest_policy.smt" in refusal(guest_policy=GUEST_POLICY | {"smt": "no"})


def test_two_rows_of_one_name_are_refused() -> None:
    assert "2 rows have the name 'image'" in refusal(rows=[ROW, ROW])


def test_a_product_stands_once() -> None:
    assert "2 products have the name 'Genoa'" in refusal(products=[product("Genoa"), product("Genoa")])
