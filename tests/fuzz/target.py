"""What a target of the fuzzers is, and the property that every one has to keep."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hanse.core.values.canonical import canonical_json
from hanse.errors import HanseError

LONGEST_MESSAGE = 16_000
"""Characters: what is told of a bad input may quote it, and does not grow with it."""
MOST_CPU_S = 10.0
"""CPU seconds an input of at most a few hundred kilobytes may take; far above what any does."""


@dataclass(frozen=True)
class View:
    """An input as a JSON value and back, so that a mutation can reach what stands inside it.

    Attributes:
        unpack: Bytes to value; any error means that there is nothing to look at.
        pack: Value to bytes; makes lengths, digests and signatures right again.
    """

    unpack: Callable[[bytes], Any]
    pack: Callable[[Any], bytes]


def json_bytes(value: Any) -> bytes:
    """JSON as a stranger may write it: with NaN, lone surrogates, anything."""
    return json.dumps(value).encode("ascii")


def canonical_or_not(value: Any) -> bytes:
    """Canonical where the value can be written so."""
    try:
        return canonical_json(value)
    except ValueError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


JSON = View(json.loads, json_bytes)
CANONICAL = View(json.loads, canonical_or_not)


@dataclass(frozen=True)
class Target:
    """A decoder that reads a stranger's bytes.

    Attributes:
        name: Also the name of its folder of crashes.
        run: Reads an input. May raise a `HanseError`, and nothing else; where the input is
            valid, checks that it comes back the same.
        seeds: Makes valid inputs, always the same.
        view: The input as a value; None where it has no such form.
        longest: Bytes of a mutation that are kept.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    view: View | None = None
    longest: int = 1 << 18

    def check(self, data: bytes) -> None:
        """Hold an input against the property.

        Raises:
            Exception: Anything but a refusal in words, of bounded length, within bounded time.
        """
        begin = time.process_time()
        try:
            self.run(data)
        except HanseError as error:
            told = str(error)
            told.encode("utf-8")  # it is to go into logs, journals and replies
            assert len(told) <= LONGEST_MESSAGE, f"{self.name} tells {len(told)} characters"
        taken_s = time.process_time() - begin
        assert taken_s < MOST_CPU_S, f"{self.name} took {taken_s:.1f} s for {len(data)} bytes"
