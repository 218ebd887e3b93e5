"""Decoders of masked sums: READYs, rosters, vectors, outcomes, and the facts that a site keeps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from tests.fuzz.examples import OUTCOME
from tests.fuzz.readers import scratch
from tests.fuzz.target import json_bytes
from tests.fuzz.world import things
from tests.masked_sums import Site, cell_plan, sites, verify
from tests.parties import signing_key

from hanse.collaborator.sums.files import SumFiles, VectorFacts
from hanse.core.values.canonical import sha256
from hanse.errors import HanseError
from hanse.privacy.secagg.aggregator import CellSum, take_ready
from hanse.privacy.secagg.layout import Entry, Layout
from hanse.privacy.secagg.roster import check_roster
from hanse.privacy.secagg.site_steps import RosterCame, WriteMasked
from hanse.updates.secure_sums.masked_file import write_masked
from hanse.updates.secure_sums.vector_file import MASKED, check_vector, open_vector
from hanse.wire import tensors
from hanse.wire.messages.basics import decode
from hanse.wire.messages.sites import TASK_RESULT
from hanse.wire.messages.sums import SumReadyRequest, SumRoster

LAYOUT = Layout(32, 4, (Entry(MASKED, (6,), "whole", "total", 0, 1),))
VECTOR = np.arange(6, dtype="<u4") * 123_456_789
FACTS = VectorFacts(salt="5" * 64, digest=sha256(b"words"), context="c" * 64, layout="a" * 64)


def requests() -> Sequence[bytes]:
    """READYs of two members, as they are sent."""
    ready = [site.ready().model_dump() for site in sites("abcd")[:2]]
    return [json_bytes({"run_id": "r1", "statement": each}) for each in ready]


def request(data: bytes) -> None:
    """A READY as the aggregator takes it; one that is taken is taken again."""
    statement = decode(SumReadyRequest, data).statement
    cell = CellSum(cell_plan([site.own for site in sites("abcd")]))
    after, _ = take_ready(cell, statement, verify)
    assert take_ready(after, statement, verify) == (after, ())


def _ready() -> list[Site]:
    members = sites("abcd")
    for site in members:
        site.ready()
    return members


def rosters() -> Sequence[bytes]:
    """The roster of a cell."""
    ready = [site.statement.model_dump() for site in _ready()]
    return [json_bytes({"ready": ready})]


def roster(data: bytes) -> None:
    """A roster as a site takes it: it masks for one that its check accepts, and for no other."""
    came = decode(SumRoster, data).ready
    own = _ready()[0]
    plan = own.state.plan
    accepted = None
    with suppress(HanseError):
        accepted = check_roster(came, own.live.body, plan.members, plan.pins, {}, verify)
    made = own.take(RosterCame(came))
    assert any(isinstance(each, WriteMasked) for each in made) == (accepted is not None)


def vectors() -> Sequence[bytes]:
    """A masked vector."""
    return [tensors.encode({MASKED: VECTOR})]


def vector(data: bytes) -> None:
    """A masked vector as the aggregator takes it, and as a site reads its own."""
    path, masked = scratch() / "q", scratch() / "1.y"
    path.write_bytes(data)
    found = tensors.open_file(path)
    check_vector(found, LAYOUT.words, LAYOUT.ring, "task train at a")
    words = open_vector(path, LAYOUT)
    assert words.tobytes() == np.array(found[MASKED]).tobytes()
    members = _ready()
    keys = members[0].keys([site.statement for site in members])
    written = write_masked(path, masked, LAYOUT, keys, "sha256")
    assert written.q_digest == sha256(words.tobytes())
    assert masked.stat().st_size == len(tensors.encode({MASKED: words}))


def facts() -> Sequence[bytes]:
    """The facts of a vector."""
    return [FACTS.model_dump_json().encode()]


def read_facts(data: bytes) -> None:
    """The facts beside a vector, whatever became of the file."""
    files = SumFiles(scratch() / "sums", 1)
    files.folder.mkdir(parents=True, exist_ok=True)
    files.vector.touch()
    (files.folder / "q.json").write_bytes(data)
    found = files.facts()
    if found is not None:
        assert VectorFacts.model_validate_json(found.model_dump_json()) == found
        assert len(found.commitment) == len(FACTS.commitment)


def outcomes() -> Sequence[bytes]:
    """The outcome of a masked task."""
    body: dict[str, Any] = OUTCOME | {"num_examples": 0, "metrics": {}}
    signed = signing_key(things().site).sign(TASK_RESULT, body)
    return [json_bytes({"statement": signed.model_dump()})]
