"""Reading of TOML: where values stand, and what is refused."""

from __future__ import annotations

import pytest

from hanse.attestation.policy.toml import MAX_DEPTH, read_toml
from hanse.errors import ConfigError

TEXT = """\
# a comment with = and [brackets]
format = "a # in a text"
[tdx]
machines = [
  "one",  # [[
  "two",
]
text = '''
key = "inside a text"
'''
[[tdx.rows]]
name = "first"
[[tdx.rows]]
"name" = "second"
[tdx.rows.inner]
key = { any = "a reason" }
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("format",), 2),
        (("tdx",), 3),
        (("tdx", "machines"), 4),
        (("tdx", "text"), 8),
        (("tdx", "rows", 0), 11),
        (("tdx", "rows", 0, "name"), 12),
        (("tdx", "rows", 1, "name"), 14),
        (("tdx", "rows", 1, "inner", "key"), 16),
    ],
)
def test_each_value_stands_on_its_line(place: tuple[str | int, ...], line: int) -> None:
    assert read_toml(TEXT.encode(), "policy.toml").lines[place] == line


def test_a_key_inside_a_text_is_none() -> None:
    assert ("tdx", "key") not in read_toml(TEXT.encode(), "policy.toml").lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a = 1\nb = = 2", "p.toml:2: not TOML: Invalid value"),
        (b"a = 1\na = 2", "p.toml:2: not TOML: Cannot overwrite a value"),
        (b"a = [\n1,", "p.toml:2: not TOML"),
        (b"a = 1\nb = \xff", "p.toml:2: not UTF-8 text"),
        (b"a = 1\nb = 1979-05-27", "p.toml:2: b: a date or time is not a value here"),
        (b"a = nan", "p.toml:1: a: nan is not a finite number"),
        (b"a = " + b"9" * 30, "p.toml:1: a: the number is too large"),
        (b"\na = " + b"[" * 2_000, "p.toml:2: nested more than 16 deep"),
        (b"a." * 100_000 + b"b = 1", "p.toml:1: a key of more than 16 parts"),
        (b"#" * (1 << 18) + b"#", "longer than 256 KiB"),
    ],
)
def test_what_is_no_toml_for_a_policy_is_refused_with_its_line(text: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_toml(text, "p.toml")

    assert told in str(refused.value)


def test_depth_counts_over_headers_and_values() -> None:
    header = ".".join("abcdefghij")

    with pytest.raises(ConfigError, match=f"nested more than {MAX_DEPTH} deep"):
        read_toml(f"[{header}]\nk.l.m.n.o.p.q = 1".encode(), "p.toml")
