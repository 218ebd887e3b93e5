"""The YAML that Hanse reads and writes."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hanse.config.dialect import MAX_DEPTH, DialectError, dump, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)
LOOKS_LIKE_ANOTHER_KIND = st.sampled_from(
    [
        "1e-5",
        "1e5",
        "no",
        "on",
        "12:30",
        "0x10",
        "1_000",
        "2024-01-01",
        "=",
        "<<",
        "~",
        "null",
        "",
        ".inf",
        "-",
    ]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-3", -3),
        ("010", 10),
        ("1.", 1.0),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("[1, [a, b]]", [1, ["a", "b"]]),
        ("{a: {b: }}", {"a": {"b": None}}),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = parse(text).value

    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_its_line() -> None:
    lines = parse("a: 1\nb:\n  c: x\n  d:\n    - 1\n    - 2\n").lines

    assert lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "d"): 4,
        ("b", "d", 0): 5,
        ("b", "d", 1): 6,
    }


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' is there twice, first on line 1"),
        ("a: &x 1\nb: *x", 2, r"aliases \(`\*name`\) are not read here"),
        ("a: !!python/object:os.system x", 1, "the tag .* is not read here"),
        ("a: !!set {x}", 1, "the tag .* is not read here"),
        ("a: !!int x", 1, "'x' is not of type int"),
        ("1: a", 1, "a key has to be text"),
        ("[a]: b", 1, "a key has to be text"),
        ("a:\n  .inf", 2, ".inf is not a finite number"),
        ("a: 1e999", 1, "1e999 is not a finite number"),
        ("a: " + "9" * 5_000, 1, "more than 400 digits"),
        ('"\\uD800"', 1, "half of a surrogate pair"),
        ('a: 1\nb: "\\UFFFFFFFF"', 2, "an escape that names no character"),
        ("a: 1\n\x01", 2, r"the character U\+0001 is not allowed"),
        ("a: 1\n--- \nb: 2", 2, "found another document"),
        ("a: {b: 1\nc", 2, "expected ',' or '}'"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ("\ta: 1", 1, "cannot start any token"),
        ("[" * 100_000, 1, f"nested more than {MAX_DEPTH} deep"),
        ("- " * 100_000, 1, f"nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(DialectError, match=problem) as refused:
        parse(text)

    assert refused.value.line == line


def test_a_bomb_of_aliases_costs_nothing() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30))
    began = time.perf_counter()

    with pytest.raises(DialectError, match="aliases"):
        parse(f"l0: &l0 x\n{levels}")

    assert time.perf_counter() - began < 1


@given(VALUES | LOOKS_LIKE_ANOTHER_KIND)
@example({"a": ["no", {"b": "1e-5"}]})
@example({"a": {"\x85": ["\u2028 x\n"]}})
def test_what_is_written_reads_back_as_it_was(value: Any) -> None:
    assert parse(dump(value)).value == value


@given(st.dictionaries(LOOKS_LIKE_ANOTHER_KIND, LOOKS_LIKE_ANOTHER_KIND))
def test_other_readers_of_yaml_find_the_same_text(value: dict[str, str]) -> None:
    assert yaml.safe_load(dump(value)) == value


def test_what_is_there_twice_is_written_twice() -> None:
    shared = ["x"]

    assert dump({"a": shared, "b": shared}) == "a: [x]\nb: [x]\n"


def test_the_top_has_a_line_a_key_and_what_is_short_inside_is_kept_together() -> None:
    assert dump({"b": 1, "a": {"x": [1, 2]}, "c": {"y": 1}}) == "b: 1\na:\n  x: [1, 2]\nc: {y: 1}\n"
