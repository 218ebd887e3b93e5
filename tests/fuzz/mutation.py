"""Changes valid inputs into ones that a stranger might send: blindly, by bytes, or within their structure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tests.fuzz.target import Target


def deep(depth: int, leaf: Any = 0, key: str | None = None) -> Any:
    """Lists, or objects with one key, in one another."""
    for _ in range(depth):
        leaf = [leaf] if key is None else {key: leaf}
    return leaf


VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda value=value: value for value in (None, True, False, 0, 1, -1, 0.5, -0.0, 2, 100)),
    *(lambda power=power: 2**power for power in (31, 32, 53, 63, 64, 1023, 1024)),
    lambda: -(2**63),
    lambda: 10**4299,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: 1e308,
    *(lambda text=text: text for text in ("", "\0", "\ud800", "\udfff\ud800", "a", "..", "/", "../x")),
    *(lambda text=text: text for text in ("0", "1e400", "NaN", "None", "2026-01-01", "ä", "\U0001f600")),
    *(lambda size=size: "a" * size for size in (63, 64, 65, 4_096, 100_000)),
    *(lambda digit=digit: digit * 64 for digit in "0af"),
    lambda: [],
    dict,
    lambda: [None],
    lambda: {"": None},
    lambda: {"kind": "RunFinished"},
    lambda: {"\ud800": 1},
    lambda: {"k" * 10_000: 1},
    lambda: [0] * 10_000,
    lambda: {str(n): n for n in range(2_000)},
    lambda: deep(40),
    lambda: deep(300),
    lambda: deep(300, key="a"),
)
"""What replaces a value, made when it is wanted."""

BYTES = (b"\0", b"\xff", b"{", b"[", b'"', b",", b":", b"\n", b"\\", b"0" * 20, b"9" * 40, b"\xed\xa0\x80")


def mutate(target: Target, data: bytes, other: bytes, rand: random.Random) -> bytes:
    """Change an input in one to three places; `other` gives parts to splice in."""
    for _ in range(rand.randint(1, 3)):
        changed = None
        if target.view is not None and rand.randint(0, 3):
            # What a mutation made before may no longer have the structure.
            with suppress(Exception):
                changed = target.view.pack(_changed(target.view.unpack(data), rand))
        data = _bytes_changed(data, other, rand) if changed is None else changed
    return data[: target.longest]


def _bytes_changed(data: bytes, other: bytes, rand: random.Random) -> bytes:
    begin = rand.randint(0, len(data))
    end = min(len(data), begin + (1 << rand.randint(0, 10)))
    match rand.randint(0, 7):
        case 0 if begin < len(data):
            return data[:begin] + bytes([data[begin] ^ (1 << rand.randint(0, 7))]) + data[begin + 1 :]
        case 1:
            return data[:begin]
        case 2:
            return data[:begin] + data[end:]
        case 3:
            return data[:end] + data[begin:]
        case 4:
            return data[:begin] + rand.choice(BYTES) + data[begin:]
        case 5:
            return data[:begin] + other[min(begin, len(other)) :]
        case 6:
            return data[:begin] + rand.choice(BYTES) * (1 << rand.randint(0, 12)) + data[end:]
        case _:
            return data[begin:] + data[:begin]


def _changed(value: Any, rand: random.Random) -> Any:
    """Walk down to some place, and change what stands there."""
    if isinstance(value, dict | list) and value and rand.randint(0, 4):
        places: Sequence[Any] = list(value) if isinstance(value, dict) else range(len(value))
        place = places[rand.randint(0, len(places) - 1)]
        if isinstance(value, list):
            return [*value[:place], _changed(value[place], rand), *value[place + 1 :]]
        return {**value, place: _changed(value[place], rand)}
    return _replaced(value, rand)


def _replaced(value: Any, rand: random.Random) -> Any:
    kind = rand.randint(0, 5)
    made = VALUES[rand.randint(0, len(VALUES) - 1)]()
    match value:
        case dict() if kind == 0:
            return {**value, made if isinstance(made, str) else "x": made}
        case dict() if kind == 1 and value:
            left_out = list(value)[rand.randint(0, len(value) - 1)]
            return {key: inner for key, inner in value.items() if key != left_out}
        case list() if kind == 0:
            return [*value, *value]
        case list() if kind == 1:
            return [*value, made]
        case list() if kind == 2 and value:
            dropped = rand.randint(0, len(value) - 1)
            return [*value[:dropped], *value[dropped + 1 :]]
        case list() if kind == 3:
            return value[::-1]
        case str() if kind == 0:
            return value[: rand.randint(0, len(value))]
        case str() if kind == 1:
            return value + str(made)
        case int() if kind == 0 and not isinstance(value, bool):
            return value + rand.choice((-1, 1, 2**31, -(2**63), 2**63))
        case int() if kind == 1:
            return str(value)
    return made
