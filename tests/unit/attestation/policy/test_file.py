"""Policy files: every field is required, and every problem is named with its place."""

from __future__ import annotations

import re

import pytest
from tests.policy_files import whole_policy, whole_text

from hanse.attestation.base import Kind
from hanse.attestation.policy.file import read_policy
from hanse.errors import ConfigError, PolicyError

TEXT = whole_text()
KEYS = [
    (number, line.partition(" = ")[0])
    for number, line in enumerate(TEXT.splitlines())
    if re.match(r"[a-z0-9_]+ = ", line)
]


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_policy(text.encode(), "p.toml")
    return refused.value.message.splitlines()


def test_a_policy_that_is_written_is_read_as_it_was() -> None:
    assert read_policy(TEXT.encode(), "p.toml") == whole_policy()


@pytest.mark.parametrize(("number", "key"), KEYS, ids=[f"{key}-{number}" for number, key in KEYS])
def test_each_field_that_is_unset_is_an_error(number: int, key: str) -> None:
    lines = TEXT.splitlines()
    del lines[number]

    told = problems("\n".join(lines))

    assert any(key in line and ("is missing" in line or "lacks" in line) for line in told), told


def test_all_problems_are_told_at_once_each_with_its_line() -> None:
    text = TEXT.replace('statuses = ["UpToDate"]', 'statuses = ["Revoked"]').replace(
        "debug = false", "debug = true"
    )

    told = problems(text)

    assert len([line for line in told if "statuses" in line]) == 2
    assert len([line for line in told if "debug" in line]) == 3
    assert all(re.match(r"p\.toml:\d+: ", line) for line in told)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('{ any = "not of interest in this test" }', '{ any = "" }', "should have at least 8 characters"),
        ('{ any = "not of interest in this test" }', '"any"', "should be hexadecimal"),
        ('{ any = "not of interest in this test" }', "{ }", "is missing"),
        ('format = "hanse-policy-1"', 'format = "hanse-policy-2"', "should be 'hanse-policy-1'"),
        ("[sgx]", "[sgxx]", "unknown key"),
        ("misc_select", "misc_selects", "did you mean `misc_select`?"),
    ],
)
def test_what_is_not_as_the_schema_says_is_refused(old: str, new: str, told: str) -> None:
    assert old in TEXT

    assert any(told in line for line in problems(TEXT.replace(old, new)))


def test_a_policy_for_rehearsals_stands_alone() -> None:
    told = problems(TEXT.replace("rehearsal = false", "rehearsal = true"))

    assert "the section tpm is for a rehearsal, and stands alone" in told[0]


def test_what_a_draft_left_to_a_person_is_refused_until_it_is_decided() -> None:
    (told,) = problems(TEXT.replace("not of interest in this test", "DRAFT: decide, and say why", 1))

    assert re.match(r"p\.toml:\d+: tdx\.mrservicetd\.any: a draft has left this to a person", told)


def test_a_policy_without_a_section_is_refused() -> None:
    assert problems('format = "hanse-policy-1"')[0].startswith("p.toml: no section")


def test_a_kind_without_a_section_is_refused() -> None:
    with pytest.raises(PolicyError, match="no section snp: evidence of this kind is refused"):
        whole_policy(tdx=whole_policy().tdx).section(Kind.SNP)


def test_the_digest_is_of_what_counts_and_not_of_comments() -> None:
    plain = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))

    assert read_policy(plain.encode(), "p").digest == read_policy(TEXT.encode(), "q").digest
    assert read_policy(TEXT.replace('any = "not', 'any = "Not').encode(), "q").digest != whole_policy().digest
