"""A policy of TPMs is refused when it is read, where it would prove nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.tpm.forge import Tpm, policy, row
from tests.tpm.vectors import image

from hanse.attestation.policy.tpm import TpmPolicy

TPM = Tpm()


def table(**other: Any) -> dict[str, Any]:
    return policy(TPM).model_dump(mode="json") | other


@pytest.mark.parametrize("field", sorted(TpmPolicy.model_fields))
def test_a_field_that_is_not_set_is_an_error(field: str) -> None:
    found = table()
    del found[field]

    with pytest.raises(ValidationError, match=field):
        TpmPolicy.model_validate(found)


@pytest.mark.parametrize("register", [16, 23])
def test_a_register_that_any_software_can_reset_is_refused(register: int) -> None:
    with pytest.raises(ValidationError, match=f"PCR {register} proves nothing"):
        TpmPolicy.model_validate(table(selection=(4, 7, 11, 12, register)))


def test_registers_that_do_not_say_what_runs_are_refused() -> None:
    values = {0: bytes(32), 7: bytes(32)}

    with pytest.raises(ValidationError, match="it has to have 4, 7, 11 and 12"):
        TpmPolicy.model_validate(table(selection=(0, 7), rows=(row("one", values),)))


def test_a_rehearsal_may_have_any_registers() -> None:
    found = table(rehearsal=True, selection=(11,), rows=(row("one", {11: bytes(32)}),))

    assert TpmPolicy.model_validate(found).rehearsal


def test_the_log_of_the_kernel_is_enough() -> None:
    by_log = image() | {"pcrs": {"10": "ima"}}

    assert TpmPolicy.model_validate(table(selection=(10,), rows=(by_log,)))


@pytest.mark.parametrize("selection", [(7, 4, 11, 12), (4, 4, 7, 11, 12)])
def test_a_selection_out_of_order_is_refused(selection: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="each register stands once, ascending"):
        TpmPolicy.model_validate(table(selection=selection))


def test_a_row_without_a_register_of_the_selection_is_refused() -> None:
    values = dict(TPM.registers)
    del values[12]

    with pytest.raises(ValidationError, match="it has PCR 4, 7, 11, and `selection` has 4, 7, 11, 12"):
        TpmPolicy.model_validate(table(rows=(row("one", values),)))


def test_two_rows_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="2 rows have the name 'one'"):
        TpmPolicy.model_validate(table(rows=(row("one", TPM.registers), row("one", TPM.registers))))


def test_files_and_the_value_ima_stand_together() -> None:
    with pytest.raises(ValidationError, match="stand together or not at all"):
        TpmPolicy.model_validate(table(rows=(row("one", TPM.registers, ima=image()["ima"]),)))


def test_the_value_ima_is_of_pcr_10_alone() -> None:
    one = row("one", TPM.registers, ima=image()["ima"])
    one["pcrs"]["11"] = "ima"

    with pytest.raises(ValidationError, match="PCR 11 is `ima`, which stands for PCR 10 alone"):
        TpmPolicy.model_validate(table(rows=(one,)))


def test_machines_are_named_one_by_one() -> None:
    with pytest.raises(ValidationError, match="machines"):
        TpmPolicy.model_validate(table(machines="any"))
