"""Logs of firmware and kernel lead to quoted registers, and say which event or file differs."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from tests.tpm.forge import AT, EVENTS, NONCE, Tpm, appraise, component, given, policy
from tests.tpm.logs import (
    BOOT_APPLICATION,
    IPL,
    extended,
    firmware_log,
    kernel_binary,
    kernel_register,
    kernel_text,
    registers_of,
)
from tests.tpm.machine import FILES
from tests.tpm.vectors import image

from hanse.attestation.base import Appraisal, Circumstances, Tier
from hanse.attestation.tpm.ima import read_ima_log, replay
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.errors import EvidenceError

TPM = Tpm()
OTHERS = {"any": "a system with users"}


def with_log(log: bytes, files: dict[str, bytes] | None = None, reference: Any = None) -> Appraisal:
    """The verdict about a machine whose kernel has measured files, by a row with those of `FILES`."""
    tpm = replace(TPM, registers=dict(TPM.registers) | {10: kernel_register(files or FILES)})
    one = image()
    one["ima"] |= reference or {}
    return appraise(tpm, policy(tpm, rows=(one,)), tpm.evidence(ima=log))


@pytest.mark.parametrize("form", [kernel_text, kernel_binary])
def test_files_of_the_image_are_accepted_in_any_order(form: Any) -> None:
    first, *rest = FILES.items()
    files = dict([first, *reversed(rest)])

    appraisal = with_log(form(files), files)

    assert component(appraisal, "IMA files").tier is Tier.AFFIRMING
    assert component(appraisal, "IMA boot_aggregate").tier is Tier.AFFIRMING


def test_a_file_that_differs_is_named() -> None:
    files = FILES | {"/opt/hanse.py": b"another"}

    check = component(with_log(kernel_text(files), files), "IMA /opt/hanse.py")

    assert check.tier is Tier.CONTRAINDICATED
    assert "it was replaced" in check.mend


def test_a_file_that_is_not_of_the_image_is_named() -> None:
    files = FILES | {"/tmp/x": b"x"}

    check = component(with_log(kernel_text(files), files), "IMA /tmp/x")

    assert (check.tier, check.expected) == (Tier.CONTRAINDICATED, "not among the files of the row")


def test_other_files_may_be_accepted_with_a_reason() -> None:
    files = FILES | {"/tmp/x": b"x"}

    assert with_log(kernel_text(files), files, {"others": OTHERS}).tier is Tier.WARNING


def test_another_boot_aggregate_is_not_accepted() -> None:
    files = FILES | {"boot_aggregate": b"other firmware"}

    check = component(with_log(kernel_text(files), files), "IMA boot_aggregate")

    assert check.tier is Tier.CONTRAINDICATED


def test_a_log_that_leads_elsewhere_is_refused() -> None:
    with pytest.raises(EvidenceError, match="IMA log: its 4 entries lead to"):
        with_log(kernel_text(FILES | {"/tmp/x": b"x"}), {"boot_aggregate": b"another"})


def test_entries_after_the_quote_are_not_proven() -> None:
    appraisal = with_log(kernel_text(FILES | {"/tmp/x": b"x"}))

    assert appraisal.not_proven == ("IMA log: its last 1 entries came after the quote",)
    assert component(appraisal, "IMA files").tier is Tier.AFFIRMING


def test_a_log_is_needed_where_the_policy_takes_it() -> None:
    tpm = replace(TPM, registers=dict(TPM.registers) | {10: kernel_register(FILES)})

    with pytest.raises(EvidenceError, match="and none came along"):
        appraise(tpm, policy(tpm, rows=(image(),)))


def test_of_many_files_that_differ_the_first_are_shown() -> None:
    files = FILES | {f"/tmp/{number}": b"x" for number in range(40)}

    appraisal = with_log(kernel_text(files), files)

    assert component(appraisal, "IMA files").seen == "40 of 43 entries differ"
    assert sum(check.component.startswith("IMA /tmp") for check in appraisal.checks) == 16


def test_signatures_of_files_are_covered_by_the_register() -> None:
    files = {"boot_aggregate": b"", "/bin/sh": b"sh"}
    for form in (kernel_text, kernel_binary):
        for signature in (b"", b"\x03\x02signature"):
            entries = read_ima_log(form(files, signature))

            assert replay(entries, kernel_register(files, signature)) == 2
            assert [entry.path for entry in entries] == ["boot_aggregate", "/bin/sh"]


def test_a_violation_is_shown_with_its_file() -> None:
    log = kernel_text(FILES)
    line = log.splitlines()[-1].split(b" ")
    line[1], line[3] = b"0" * 40, b"sha256:" + b"0" * 64
    entries = read_ima_log(log + b" ".join(line) + b"\n")
    value = extended([entry.extended for entry in entries])
    tpm = replace(TPM, registers=dict(TPM.registers) | {10: value})

    appraisal = appraise(tpm, policy(tpm, rows=(image(),)), tpm.evidence(ima=log + b" ".join(line) + b"\n"))

    assert entries[-1].extended == b"\xff" * 32
    assert component(appraisal, "IMA /opt/hanse.py").seen == "a violation"


@pytest.mark.parametrize("form", [kernel_text, kernel_binary])
def test_a_log_with_a_byte_changed_is_refused(form: Any) -> None:
    log = form(FILES)

    for place in range(len(log)):
        changed = log[:place] + bytes([log[place] ^ 0x01]) + log[place + 1 :]
        with pytest.raises(EvidenceError):
            with_log(changed)


def test_paths_that_look_alike_are_not_the_same() -> None:
    paths = ["/a\n", "/a\\n", "/a\\\\n"]
    written = [kernel_binary({path: b""}) for path in paths]

    assert len({read_ima_log(log)[0].path for log in written}) == len(paths)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", "it has no entry"),
        (b"10 x", "its last line does not end"),
        (b"10 00\n", "line 1 is not register"),
        (b"11 " + kernel_text(FILES)[3:], "an entry is of PCR '11'"),
        (kernel_text(FILES).replace(b"ima-ng", b"ima-xy", 1), "template 'ima-xy'"),
        (kernel_binary(FILES)[:-1], "are left"),
        (struct.pack("<I20sI", 10, b"", 0xFFFFFFFF), "has 4294967295 bytes, more than 16"),
    ],
)
def test_a_malformed_log_is_refused_in_words(log: bytes, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        read_ima_log(log)


@given_any(log=st.binary(max_size=200), head=st.sampled_from([b"", b"10 ", b"\n\0\0\0"]))
def test_any_bytes_are_read_or_refused(log: bytes, head: bytes) -> None:
    with suppress(EvidenceError):
        assert read_ima_log(head + log)


def test_a_log_of_firmware_that_leads_to_the_registers_is_accepted() -> None:
    assert appraise(TPM, evidence=TPM.evidence(tcg=firmware_log(EVENTS))).tier is Tier.WARNING


def test_a_log_of_firmware_that_leads_elsewhere_is_refused() -> None:
    with pytest.raises(EvidenceError, match=r"event log: its events lead to .* in PCR 12"):
        appraise(TPM, evidence=TPM.evidence(tcg=firmware_log(EVENTS[:-1])))


def test_a_log_of_firmware_with_a_changed_digest_is_refused() -> None:
    log = firmware_log(EVENTS)
    begin = log.index(struct.pack("<II", 4, BOOT_APPLICATION)) + 14

    for place in range(begin, begin + 32):
        changed = log[:place] + bytes([log[place] ^ 1]) + log[place + 1 :]
        with pytest.raises(EvidenceError, match="in PCR 4"):
            appraise(TPM, evidence=TPM.evidence(tcg=changed))


def test_a_log_that_extends_a_register_that_there_is_not_is_refused() -> None:
    with pytest.raises(EvidenceError, match="extends PCR 24"):
        appraise(TPM, evidence=TPM.evidence(tcg=firmware_log([*EVENTS, (24, IPL, b"x")])))


def named(events: Any) -> str:
    """What the verdict says of PCR 11 of a machine with other events, by the reference's log."""
    other = replace(TPM, registers=registers_of(events))
    circumstances = Circumstances(AT, NONCE, {"tcg-log/image-1": firmware_log(EVENTS)})
    appraisal = TpmVerifier(TPM.activated).appraise(
        other.evidence(tcg=firmware_log(events)), policy(TPM), circumstances
    )
    assert "tcg-log/image-1" in appraisal.collateral
    return component(appraisal, "PCR 11").note


def test_the_event_that_differs_is_named() -> None:
    changed = [*EVENTS[:3], (11, IPL, b".cmdline roothash=2"), *EVENTS[4:]]

    assert "Event 2 of PCR 11 differs: expected EV_IPL" in named(changed)


def test_an_event_that_differs_is_named_by_its_text_where_the_digest_covers_that() -> None:
    changed = [*EVENTS[:3], (11, IPL, b"agent.py 2"), *EVENTS[4:]]
    unreadable = [*EVENTS[:3], (11, IPL, b"\x1b[2J"), *EVENTS[4:]]

    assert "('.cmdline roothash=1'), seen EV_IPL" in named(changed)
    assert "('agent.py 2')." in named(changed)
    assert named(unreadable).endswith("….")


def test_an_event_that_is_missing_is_named() -> None:
    assert "Event 2 of PCR 11 differs: the reference has EV_IPL" in named([*EVENTS[:3], *EVENTS[4:]])


def test_an_event_too_many_is_named() -> None:
    assert "Event 3 of PCR 11 differs: the machine's log has EV_IPL" in named([*EVENTS, (11, IPL, b"x")])


def test_a_reference_log_of_another_image_is_refused() -> None:
    collateral = {"tcg-log/image-1": firmware_log(EVENTS[:-1])}
    evidence = TPM.evidence(tcg=firmware_log(EVENTS))

    with pytest.raises(EvidenceError, match="tcg-log/image-1: its events lead to"):
        TpmVerifier(TPM.activated).appraise(evidence, policy(TPM), given(**collateral))


def test_a_log_of_the_kernel_without_its_register_is_not_proven() -> None:
    appraisal = appraise(TPM, evidence=TPM.evidence(ima=kernel_text(FILES)))

    assert appraisal.not_proven == ("IMA log: the quote does not have PCR 10",)


def test_of_two_images_with_one_boot_the_one_whose_files_fit_counts() -> None:
    tpm = replace(TPM, registers=dict(TPM.registers) | {10: kernel_register(FILES)})
    newer = image("image-2")
    newer["ima"]["files"] = ({"path": "/opt/hanse.py", "sha256": ("00" * 32,)},)
    rules = policy(tpm, rows=(newer, image()))

    assert appraise(tpm, rules, tpm.evidence(ima=kernel_text(FILES))).tier is Tier.WARNING
