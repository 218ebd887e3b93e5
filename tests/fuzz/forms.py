"""How inputs are taken apart and put together, so that a mutation can reach what stands inside them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tests.fuzz.target import View, canonical_or_not, json_bytes
from tests.fuzz.world import resealed, things
from tests.masked_sums import member
from tests.parties import signing_key

from hanse.config.dialect import parse
from hanse.core.journal.receipts import RECEIPT
from hanse.core.values.sums.ready import READY as PURPOSE
from hanse.pki import enrolment, keys, signatures
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT


def pack_statement(value: Any) -> bytes:
    """Signed anew where the body can be: the site itself is the stranger."""
    with suppress(Exception):
        body = value["statement"]["body"]
        purpose = PLAN_ANSWER if "accepted" in body else TASK_RESULT
        signed = signing_key(things().site).sign(purpose, body)
        value = {**value, "statement": {**value["statement"], "signature": signed.signature}}
    return json_bytes(value)


def pack_ready(value: Any) -> bytes:
    """Signed anew by the member that it names, or by the first: the stranger is a member."""
    with suppress(Exception):
        value = {**value, "statement": _ready_signed(value["statement"])}
    return json_bytes(value)


def pack_roster(value: Any) -> bytes:
    """As `pack_ready`, each READY."""
    with suppress(Exception):
        value = {**value, "ready": [_ready_signed(each) for each in value["ready"]]}
    return json_bytes(value)


def _ready_signed(statement: Any) -> Any:
    body = statement["body"]
    name = body["site"] if body.get("site") in ("b", "c", "d") else "a"
    signed = member(name).key.sign(PURPOSE, body)
    return {**statement, "signature": signed.signature}


def unpack_tensors(data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little")
    return [json.loads(data[8 : 8 + length]), data[8 + length :].hex()]


def pack_tensors(value: Any) -> bytes:
    header = json.dumps(value[0], separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes.fromhex(value[1])


def unpack_lines(data: bytes) -> Any:
    return [json.loads(line) for line in data.splitlines()]


def pack_lines(value: Any) -> bytes:
    return b"".join(canonical_or_not(line) + b"\n" for line in value)


def pack_resealed(value: Any) -> bytes:
    with suppress(Exception):  # no longer of a form that can be sealed
        value = resealed(value)
    return pack_lines(value)


def pack_resigned(value: Any) -> bytes:
    with suppress(Exception):  # no longer of a form that can be signed
        value = [_resigned(line) for line in value]
    return pack_lines(value)


def _resigned(line: dict[str, Any]) -> dict[str, Any]:
    signed = signatures.sign(things().aggregator, RECEIPT, line["body"])
    return {**line, "signature": signed.signature}


def unpack_token(data: bytes) -> Any:
    return json.loads(enrolment._decode(data.decode().split(".")[1]))


def pack_token(value: Any) -> bytes:
    signed = f"hanse1.{enrolment._encode(canonical_or_not(value))}"
    return f"{signed}.{enrolment._encode(keys.sign_bytes(things().authority.key, signed.encode()))}".encode()


def unpack_frames(data: bytes) -> Any:
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(json.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    return found


def pack_frames(value: Any) -> bytes:
    bodies = map(json_bytes, value)
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


STATEMENT = View(json.loads, pack_statement)
READY = View(json.loads, pack_ready)
ROSTER = View(json.loads, pack_roster)
TENSORS = View(unpack_tensors, pack_tensors)
YAML = View(lambda data: parse(data.decode()).value, json_bytes)
LINES = View(unpack_lines, pack_lines)
RESEALED = View(unpack_lines, pack_resealed)
RESIGNED = View(unpack_lines, pack_resigned)
TOKEN = View(unpack_token, pack_token)
FRAMES = View(unpack_frames, pack_frames)
