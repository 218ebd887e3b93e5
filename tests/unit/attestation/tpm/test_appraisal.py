"""What a policy does not accept is a line of the verdict, with what to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.tpm.forge import EVENTS, Tpm, appraise, component, curve_key, given, policy, row
from tests.tpm.logs import registers_of

from hanse.attestation.base import Aspect, Tier
from hanse.attestation.tpm.quote import Started
from hanse.attestation.tpm.verifier import TpmVerifier

TPM = Tpm()
ANY = {"any": "not looked at here"}


def test_every_component_that_differs_is_named() -> None:
    changed = replace(TPM, registers=dict(TPM.registers) | {11: b"\x01" * 32})

    appraisal = appraise(changed, policy(TPM))
    check = component(appraisal, "PCR 11")

    assert check.tier is Tier.CONTRAINDICATED
    assert (check.expected, check.seen) == (TPM.registers[11].hex(), "01" * 32)
    assert "Held against the row 'image-1'" in check.note
    assert "add a row for it" in check.mend
    assert appraisal.vector[Aspect.EXECUTABLES] is Tier.CONTRAINDICATED


def test_registers_of_two_images_are_a_mixture() -> None:
    other = registers_of([(register, kind, data + b"2") for register, kind, data in EVENTS])
    rules = policy(TPM, rows=(row("image-1", TPM.registers), row("image-2", other)))
    mixed = replace(TPM, registers=dict(TPM.registers) | {12: other[12]})

    check = component(appraise(mixed, rules), "PCR 12")

    assert check.tier is Tier.CONTRAINDICATED
    assert "The value seen is of the row 'image-2': values of two images are mixed." in check.note


def test_the_row_that_fits_counts_wherever_it_stands() -> None:
    other = registers_of([(register, kind, data + b"2") for register, kind, data in EVENTS])
    rules = policy(TPM, rows=(row("image-2", other), row("image-1", TPM.registers)))

    assert appraise(TPM, rules).tier is Tier.WARNING


@pytest.mark.parametrize("value", [b"\0" * 32, b"\xff" * 32])
def test_a_register_into_which_nothing_was_measured_is_not_accepted_by_any(value: bytes) -> None:
    empty = replace(TPM, registers=dict(TPM.registers) | {12: value})
    accepting = row("image-1", TPM.registers)
    accepting["pcrs"]["12"] = ANY

    check = component(appraise(empty, policy(TPM, rows=(accepting,))), "PCR 12")

    assert check.tier is Tier.CONTRAINDICATED
    assert "Nothing was measured" in check.mend


def test_a_register_into_which_nothing_was_measured_is_accepted_by_its_value() -> None:
    empty = replace(TPM, registers=dict(TPM.registers) | {12: bytes(32)})

    assert component(appraise(empty), "PCR 12").tier is Tier.AFFIRMING


def test_a_register_of_any_value_is_accepted_if_something_was_measured() -> None:
    accepting = row("image-1", TPM.registers)
    accepting["pcrs"]["12"] = ANY

    assert component(appraise(TPM, policy(TPM, rows=(accepting,))), "PCR 12").tier is Tier.AFFIRMING


@pytest.mark.parametrize("more", [(0, 1), ()])
def test_another_selection_is_not_accepted(more: tuple[int, ...]) -> None:
    registers = {number: bytes([number + 1]) * 32 for number in more} | dict(TPM.registers)
    if not more:
        del registers[12]

    appraisal = appraise(replace(TPM, registers=registers), policy(TPM))

    assert component(appraisal, "PCR selection").tier is Tier.CONTRAINDICATED
    if not more:
        assert component(appraisal, "PCR 12").seen == "not quoted"


def test_an_endorsement_key_that_no_person_has_pinned_is_not_accepted() -> None:
    other = replace(TPM, ek=curve_key("another EK"))

    check = component(appraise(other, policy(TPM)), "EK")

    assert (check.tier, check.seen) == (Tier.CONTRAINDICATED, other.machine)


def test_a_tpm_that_says_that_it_is_software_counts_in_rehearsals_alone() -> None:
    software = replace(TPM, firmware=bytes.fromhex("2019102300163636"))

    real = component(appraise(software), "TPM implementation")
    rehearsed = component(appraise(software, policy(software, rehearsal=True)), "TPM implementation")

    assert real.tier is Tier.CONTRAINDICATED
    assert real.seen == "software: libtpms, as swtpm uses it"
    assert rehearsed.tier is Tier.WARNING


def test_a_rehearsal_with_a_chip_is_a_rehearsal() -> None:
    assert component(appraise(TPM, policy(TPM, rehearsal=True)), "TPM implementation").tier is Tier.WARNING


def test_other_firmware_of_the_tpm_is_not_accepted() -> None:
    check = component(appraise(TPM, policy(TPM, firmware=("00" * 8,))), "TPM firmware")

    assert (check.tier, check.seen) == (Tier.CONTRAINDICATED, "0007000200000000")


def test_a_clock_that_may_have_been_set_back_is_not_accepted() -> None:
    cut = replace(TPM, safe=0)

    assert component(appraise(cut), "clock safe").tier is Tier.CONTRAINDICATED
    assert component(appraise(cut, policy(TPM, clock_safe=ANY)), "clock safe").tier is Tier.AFFIRMING


@pytest.mark.parametrize("started", [Started(6, 0), Started(5, 1), Started(4, 0)])
def test_a_changed_count_of_starts_is_a_new_instance(started: Started) -> None:
    verifier = TpmVerifier(TPM.activated, started=Started(5, 0))

    same = verifier.appraise(TPM.evidence(), policy(TPM), given())
    other = verifier.appraise(replace(TPM, started=started).evidence(), policy(TPM), given())

    assert component(same, "start").tier is Tier.AFFIRMING
    assert component(other, "start").tier is Tier.CONTRAINDICATED
    assert "new instance" in component(other, "start").mend


def test_the_counts_of_starts_are_reported() -> None:
    measured = appraise(TPM).measured

    assert (measured["reset count"], measured["restart count"], measured["clock safe"]) == ("5", "0", "yes")


def test_a_tpm_never_affirms_that_memory_is_confidential() -> None:
    assert appraise(TPM).vector[Aspect.RUNTIME_OPAQUE] is Tier.WARNING


def test_the_flag_of_the_clock_is_shown_in_words() -> None:
    assert component(appraise(TPM), "clock safe").seen == "set"
