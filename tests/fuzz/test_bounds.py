"""What the largest input can cost: memory as the input has, time in proportion to its length."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.fuzz.readers import scratch
from tests.journals import PLAN

from hanse.config.dialect import DialectError, parse
from hanse.config.document import Document
from hanse.core.plan.disclosure import declared
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import MAX_TENSORS, TensorSpec, mismatch
from hanse.core.values.schema import Strict
from hanse.errors import HanseError, PlanError, ProtocolError, UpdateError
from hanse.sandbox import channel
from hanse.wire import tensor_headers, tensors
from hanse.wire.journal_file import read_lines
from hanse.wire.messages.basics import decode
from hanse.wire.messages.members import EnrolRequest, Members

HEADERS = {
    "lists": b"[" + b"[]," * 11_000_000 + b"0]",
    "objects": b'{"a":[' + b"{}," * 11_000_000 + b"0]}",
    "texts": b'{"a":["' + b'ab","' * 6_600_000 + b'0"]}',
    "numbers": b'{"a":{"shape":[' + b"257," * 8_300_000 + b"0]}}",
    "tensors": b"{" + b'"a":{},' * 4_700_000 + b'"b":{}}',
    "metadata": b'{"__metadata__":{"a":"' + b'","a":"' * 4_700_000 + b'"}}',
    "depth": b'{"a":' * 6_500_000,
}
MOST_MB = 150
"""Above what Python and NumPy take: the input twice, and little more."""

_READ = """
import resource, sys
from hanse.errors import UpdateError
from hanse.wire import tensors

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

data = sys.stdin.buffer.read()
before = peak()
for read in (tensors.decode, lambda _: tensors.read_specs(sys.argv[1])):
    try:
        read(data)
        print("taken")
    except UpdateError as error:
        print(len(str(error)) < 500)
print(peak() - before)
"""


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_32_mb_takes_no_more_memory_than_it_has(name: str, tmp_path: Path) -> None:
    header = HEADERS[name]
    assert len(header) <= tensor_headers.MAX_HEADER_BYTES
    path = tmp_path / "tensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    read = _READ.replace("sys.argv[1]", f"__import__('pathlib').Path({str(path)!r})")

    with path.open("rb") as file:
        told = subprocess.run(
            [sys.executable, "-c", read], stdin=file, capture_output=True, text=True, check=True
        ).stdout.split()

    assert told[:2] == ["True", "True"]  # refused, and in few words
    assert int(told[2]) < MOST_MB


@pytest.mark.parametrize("claimed", [2**25 + 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1])
def test_a_claimed_length_allocates_nothing(claimed: int) -> None:
    with pytest.raises(UpdateError, match="truncated"):
        tensors.decode(claimed.to_bytes(8, "little") + b"{}")
    with pytest.raises(ProtocolError, match="claims"):
        channel.length(min(claimed, 2**32 - 1).to_bytes(4, "big"))


def a_model(size: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {f"layer.{number}": np.zeros(1, np.float32) for number in range(size)}


def some_tensors(size: int) -> object:
    return tensors.decode(tensors.encode(a_model(size)))


def some_patterns(size: int) -> object:
    model = {f"layer.{number}": TensorSpec((1,), "float32") for number in range(size)}
    patterns = tuple(f"*{number}*x" for number in range(300))  # more than `fnmatch` remembers
    disclosure = PLAN.tasks["train"].discloses.model_copy(update={"tensors": patterns})
    return declared(model, disclosure), mismatch(model, model)


def a_document(schema: type[Strict]) -> Callable[[int], object]:
    def read(size: int) -> object:
        text = "".join(f"key{number}: 1\n" for number in range(size))
        return Document.of(text, "plan.yaml", PlanError).check(schema)

    return read


def a_message(size: int) -> object:
    return decode(Members, b'{"members":[' + b"{}," * size + b"{}]}")


def test_a_message_that_is_wrong_everywhere_is_refused_at_once() -> None:
    data = b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b"}"

    begin = time.process_time()
    with pytest.raises(ProtocolError, match="malformed EnrolRequest: 90003 things in it"):
        decode(EnrolRequest, data)

    assert time.process_time() - begin < 1.0


def a_frame(size: int) -> object:
    return channel.decode(b'{"a":[' + b"[]," * size + b"0]}")


def a_journal(size: int) -> object:
    path = scratch() / "journal"
    path.write_bytes(b'{"a":[0]}\n' * size)
    return list(read_lines(path))


@pytest.mark.parametrize(
    ("read", "size"),
    [
        (some_tensors, MAX_TENSORS // 2),
        (some_patterns, MAX_TENSORS // 10),
        (a_document(Plan), 8_000),
        (lambda size: parse("a: [" + "[]," * size + "]"), 20_000),
        (lambda size: parse("a: '" + "''" * size + "'"), 80_000),
        (lambda size: parse("a:\n" + "  b\n" * size), 40_000),
        (lambda size: parse("".join(f"%TAG !a{n}! x\n" for n in range(size)) + "--- a"), 8_000),
        (a_message, 160_000),
        (a_frame, 300_000),
        (a_journal, 40_000),
    ],
)
def test_time_grows_no_faster_than_the_input(read: Callable[[int], object], size: int) -> None:
    def taken_s(size: int) -> float:
        gc.collect()
        gc.disable()  # what a collection costs depends on all that the other tests have left
        try:
            begin = time.process_time()
            with suppress(HanseError, DialectError):
                read(size)
            return time.process_time() - begin
        finally:
            gc.enable()

    taken_s(10)  # what is only done once
    whole, eighth = taken_s(size), min(taken_s(size // 8) for _ in range(2))

    # Eight times the input in eight times the time; sixty-four times if it were quadratic.
    assert whole < 30 * max(eighth, 0.02)
