"""Writing of policies as TOML."""

from __future__ import annotations

from tests.dcap.policies import tdx_row, tdx_table
from tests.policy_files import whole_policy

from hanse.attestation.policy.file import read_policy
from hanse.attestation.policy.write import toml_of


def test_text_with_quotes_and_signs_comes_back() -> None:
    name = 'an "image" \\ of 2026 \u00e9 \U0001f600'
    policy = whole_policy(tdx=tdx_table(rows=[tdx_row(name)]))

    assert read_policy(toml_of(policy).encode(), "p") == policy


def test_what_a_key_means_stands_above_the_first_of_its_kind() -> None:
    text = toml_of(whole_policy(tdx=tdx_table(rows=[tdx_row("a"), tdx_row("b")])), ["A draft."])

    assert text.startswith("# A draft.\n")
    assert text.count("# RTMR1: boot loader and kernel.\nrtmr1 = ") == 1
    assert text.count("\nrtmr1 = ") == 2
