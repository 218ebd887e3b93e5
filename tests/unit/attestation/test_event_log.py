"""Event logs are read strictly, and replayed to the values of registers."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

import pytest

from hanse.attestation.event_log import (
    EV_NO_ACTION,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    read_event_log,
)
from hanse.errors import EvidenceError

SIZES = {SHA1: 20, SHA256: 32}
EV_IPL, EV_SEPARATOR = 0x0D, 0x04


def header(sizes: Mapping[int, int] = SIZES, version: tuple[int, int] = (0, 2)) -> bytes:
    inner = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, *version, 0, 2)
    inner += (
        struct.pack("<I", len(sizes)) + b"".join(struct.pack("<HH", *each) for each in sizes.items()) + b"\0"
    )
    return struct.pack("<II20sI", 0, EV_NO_ACTION, bytes(20), len(inner)) + inner


def event(
    register: int, data: bytes, kind: int = EV_SEPARATOR, digests: Sequence[bytes] | None = None
) -> bytes:
    made = digests or [hashlib.sha1(data).digest(), hashlib.sha256(data).digest()]
    listed = b"".join(struct.pack("<H", each) + digest for each, digest in zip(SIZES, made, strict=True))
    return struct.pack("<III", register, kind, len(made)) + listed + struct.pack("<I", len(data)) + data


def extended(*digests: bytes, start: bytes = bytes(32)) -> bytes:
    value = start
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def test_a_register_is_extended_by_its_events_in_order() -> None:
    log = read_event_log(header() + event(4, b"one") + event(7, b"other") + event(4, b"two"))

    assert log.replay(SHA256) == {
        4: extended(hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()),
        7: extended(hashlib.sha256(b"other").digest()),
    }
    assert set(log.replay(SHA1)) == {4, 7}


def test_events_without_action_extend_nothing() -> None:
    log = read_event_log(header() + event(0, b"note", EV_NO_ACTION, [bytes(20), bytes(32)]))

    assert log.replay(SHA256) == {}
    assert log.not_proven == (
        "event log: data of 1 event EV_NO_ACTION (their digests are of something else)",
    )


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_the_first_register_begins_at_the_locality_of_the_start(locality: int) -> None:
    stated = event(0, b"StartupLocality\0" + bytes([locality]), EV_NO_ACTION, [bytes(20), bytes(32)])
    log = read_event_log(header() + stated + event(0, b"one"))

    begin = bytes(31) + bytes([locality])
    assert log.replay(SHA256)[0] == extended(hashlib.sha256(b"one").digest(), start=begin)


@pytest.mark.parametrize(
    "log",
    [
        event(0, b"StartupLocality\0\2", EV_NO_ACTION, [bytes(20), bytes(32)]),
        event(1, b"StartupLocality\0\3", EV_NO_ACTION, [bytes(20), bytes(32)]),
        event(0, b"one") + event(0, b"StartupLocality\0\3", EV_NO_ACTION, [bytes(20), bytes(32)]),
    ],
    ids=["value", "register", "too late"],
)
def test_a_locality_at_a_wrong_place_is_refused(log: bytes) -> None:
    with pytest.raises(EvidenceError, match="locality of the start at a wrong place"):
        read_event_log(header() + log).replay(SHA256)


def test_what_an_event_says_is_proven_where_its_digests_are_of_it() -> None:
    log = read_event_log(header() + event(4, b"said") + event(8, b"said", EV_IPL, [b"\1" * 20, b"\1" * 32]))

    assert [each.described for each in log.events] == [True, False]
    assert log.not_proven == ("event log: data of 1 event EV_IPL (their digests are of something else)",)


def test_a_log_without_an_algorithm_is_not_replayed_with_it() -> None:
    with pytest.raises(EvidenceError, match="no digests of the algorithm 0x000d"):
        read_event_log(header()).replay(SHA512)


def test_only_ff_may_follow_the_last_event() -> None:
    whole = header() + event(4, b"one")

    assert len(read_event_log(whole + b"\xff" * 7).events) == 1
    assert len(read_event_log(whole + b"\xff" * 3).events) == 1
    with pytest.raises(EvidenceError, match=r"not padding|cut off"):
        read_event_log(whole + b"\xff" * 7 + b"\0")
    with pytest.raises(EvidenceError):
        read_event_log(whole + bytes(64))


@pytest.mark.parametrize(
    ("log", "named"),
    [
        (b"", "cut off"),
        (header().replace(b"Event03", b"Event02"), "does not begin with a crypto-agile header"),
        (header(version=(0, 1)), r"its version is 1\.0"),
        (header({}), "has 0 algorithms"),
        (header(dict.fromkeys(range(256, 266), 8)), "has 10 algorithms"),
        (header({SHA384: 32}), "0x000c stands twice or has a wrong size"),
        (header() + event(4, b"one")[:-1], "cut off"),
        (header({SHA256: 32}) + event(4, b"one"), "has 2 digests, not 1"),
        (header({SHA1: 20, SHA384: 48}) + event(4, b"one"), "the algorithm 0x000b at .* is not expected"),
        (header() + struct.pack("<III", 0, 0, 0xFFFFFFFF), "has 4294967295 digests"),
        (header() + event(1, b"") * 8193, "more than 8192 events"),
    ],
)
def test_a_malformed_log_is_refused(log: bytes, named: str) -> None:
    with pytest.raises(EvidenceError, match=named):
        read_event_log(log)
