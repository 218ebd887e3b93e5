"""Valid inputs for every target: the same each time, so that a mutation of one is found again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fuzz.forms import pack_frames, unpack_lines
from tests.fuzz.readers import model
from tests.fuzz.target import json_bytes
from tests.fuzz.world import things
from tests.masked_sums import sites
from tests.parties import signing_key
from tests.unit.core.run.runs import MODEL, Driver

from hanse.config.dialect import parse
from hanse.core.run.decide import Command
from hanse.core.run.events import event_body
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.statements import SignedStatement
from hanse.pki import certificates
from hanse.pki.key_statements import enrolment_of, rotation_of
from hanse.pki.signing_key import SigningKey
from hanse.wire import tensors

KEPT_0_1 = Path(__file__).parents[1] / "upgrades" / "0.1"
"""Files that version 0.1 wrote."""


def statements() -> Sequence[bytes]:
    return [json_bytes({"statement": stated}) for stated in (things().answer, things().outcome)]


def readys() -> Sequence[bytes]:
    site = sites("abcd")[0]
    return [json_bytes({"body": site.ready(attempt).body}) for attempt in (1, 16)]


def tensor_files() -> Sequence[bytes]:
    import ml_dtypes

    every = {
        name: np.zeros((2, 1), np.dtype(name)) for name in ("bool", "int8", "uint16", "float64", "uint64")
    }
    special = {"b": np.ones(3, ml_dtypes.bfloat16), "e": np.zeros((0, 4), np.float16)}
    return [tensors.encode(found) for found in (model(), every, special, {})]


PLAN = """\
name: heart
code: [heart.py]
learner: heart:learner
rounds: 2
cohort: {quorum: 0.5, deadline: 30m}
options: {depth: [1, 2.5, yes, null]}
tasks:
  train: {epochs: 1, exchanges: 2, discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
  evaluate:  # a comment
    discloses:
      metrics: ["loss"]
keep_best: {metric: loss, mode: min}
"""
GROUPED = """\
name: grouped
code: [heart.py]
learner: heart:learner
workflow: heart:workflow
initial_model: workflow
rounds: 2
options: {p: 2}
dimensions: {bins: 4}
cells: {north: [a, b], south: [c, d]}
cohort: {cell_minimum: 2, minimum: 2}
max_result_bytes: 1000
groups:
  control: {like: model, tensors: [weight], dtype: float64}
  edges: {float64: [bins], range: [-1, 1]}
  counts: {n: {int64: [bins]}, sum: {float64: [p, 2]}}
  scores: {pooled: binary, bins: 16}
tasks:
  train:
    receives: [model, control]
    varies: {lr: [0.001, 0.1], depth: [1, 3]}
    discloses: {update: aggregate, aggregated_by: aggregator, groups: {control: median}}
  count:
    receives: [edges]
    discloses: {aggregated_by: aggregator, groups: {counts: total, scores: total, edges: individual}}
compression: {upload: [int8, zstd], groups: [control]}
"""
SITE = """\
name: a
federation: north
aggregator: https://aggregator.example.org:8443
proxy: null
data: {xrays: /srv/xrays}
policy: {accept: ["heart*"], discloses: {update: individual, at_least: 2}, max_tasks: 40}
worker: {memory: 4GB, network: false}
disk_reserve: 1GB
"""
AGGREGATOR = """\
federation: north
url: https://aggregator.example.org:8443
hosts: [aggregator.example.org, 192.0.2.1]
listen: {host: "::", port: 8443}
certificates: {collaborators: 7d}
limits: {max_blob: 20GB}
"""
OPERATOR = "name: a\nfederation: north\naggregator: https://[::1]:8443\nproxy: http://proxy:3128\n"


def plans() -> Sequence[bytes]:
    return [PLAN.encode(), GROUPED.encode()]


def journals() -> Sequence[bytes]:
    return [things().journal, things().masked_journal]


def event_lists() -> Sequence[bytes]:
    of_before = (KEPT_0_1 / "export" / "eventful-1" / "journal.jsonl").read_bytes()
    return [
        json_bytes([{"kind": line["kind"], "body": line["body"]} for line in unpack_lines(journal)[1:-1]])
        for journal in (*journals(), of_before)
    ] + [json_bytes(grouped_events())]


def grouped_events() -> list[dict[str, Any]]:
    """A round of a run with groups, settings, cells and results."""
    driver = Driver("abcd", **parse(GROUPED).value).started()
    first = AskInputs({"edges": "e" * 64}, cells=("north",))
    second = AskInputs({"control": "f" * 64}, {"lr": 0.05, "depth": 2})
    commands: tuple[Command, ...] = (
        OpenRound(0),
        Commit(0, MODEL),
        OpenRound(1),
        OpenExchange(1, 0, "count", None, inputs=first),
        *(AcceptResult(1, site, 0, {}, "c" * 64) for site in "ab"),
        RecordAggregate(1, ("a", "b"), 0, "d" * 64),
        OpenExchange(1, 1, "train", MODEL, inputs=second),
        *(AcceptResult(2, site, 5, {}, "c" * 64) for site in "abcd"),
        Commit(1, MODEL, results={"counts": "b" * 64}),
    )
    for command in commands:
        driver.do(command)
    return [{"kind": event.kind, "body": event_body(event)} for event, _ in driver.history]


def grouped_updates() -> Sequence[bytes]:
    """What a site sends of a task with groups, and a file of groups that it is sent."""
    counts = {"@counts/n": np.arange(3), "@counts/sum": np.ones((2, 2)), "@edges": np.array([-1.0, 0, 1])}
    scores = {"@scores": np.ones((2, 16), np.int64)}
    return [tensors.encode(counts | scores), tensors.encode({"@edges": np.array([-1.0, 0, 1])})]


def aggregates() -> Sequence[bytes]:
    """Files of aggregates: update, combined groups, and each site's individual ones."""
    each = {"@@a/edges": np.zeros(3), "@@a/point/x": np.ones(1), "@@b/edges": np.ones(3)}
    return [tensors.encode({"weight": np.zeros(2), "@counts/n": np.arange(3), "@edges": np.ones(2), **each})]


def signers() -> Sequence[bytes]:
    key = signing_key(things().site)
    return [f"# by telephone\nbudapest {key.fingerprint}\n\nzurich {key.words}\n".encode()]


def membership_lists() -> Sequence[bytes]:
    party = {"name": "a", "certificate": "0" * 64, "not_after_ms": 5}
    of_site = things().site.party
    old, new = signing_key(things().site), SigningKey.of(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    enrolled = {
        **party,
        "role": "collaborator",
        "token_id": "0" * 32,
        "enrolment": enrolment_of(old, of_site),
    }
    rotated = {"rotation": rotation_of(old, new, of_site), "enrolment": enrolment_of(new, of_site)}
    renewed = {**party, "certificate": "1" * 64, "asked_with": "0" * 64}
    kinds = {
        "PartyEnrolled": {**enrolled, "enrolment": enrolment_of(old, of_site)},
        "CertificateRenewed": renewed,
        "SigningKeyRegistered": {"name": "a", "enrolment": enrolment_of(old, of_site)},
        "SigningKeyRotated": {"name": "a", **rotated},
        "PartyRemoved": {"name": "a", "by": "op"},
        "InvitationsVoided": {"name": "b", "by": "op"},
    }
    return [json_bytes([{"kind": kind, "body": _dumped(body)} for kind, body in kinds.items()])]


def _dumped(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.model_dump() if isinstance(value, SignedStatement) else value
        for name, value in body.items()
    }


def pems() -> Sequence[bytes]:
    known = (things().site.certificate, things().aggregator.certificate, things().authority.certificate)
    return [certificates.pem_of(certificate).encode() for certificate in known]


UNPRINTABLE = "\x1b[2J\x00\u202e\r\n\tcaf\xe9"
HALVES = "\ud800 and \udfff\ud800, \udce9"
"""Text that JSON can spell, and UTF-8 cannot."""


def report_frames() -> Sequence[bytes]:
    done = {"num_examples": 5, "metrics": {"loss": 0.5}}
    failed = {"error": "task", "reason": "no", "mend": "yes", "log_tail": "line\n"}
    unprintable = {"error": "task", "reason": UNPRINTABLE, "mend": UNPRINTABLE, "log_tail": UNPRINTABLE}
    return [pack_frames([done, failed, unprintable])]


def call_frames() -> Sequence[bytes]:
    ask = {
        "call": "sum",
        "round_number": 1,
        "index": 0,
        "task": "train",
        "model": {"ref": "0" * 64},
        "sites": ["a"],
    }
    beside = {"groups": {"control": "g-0.safetensors"}, "settings": {"lr": 0.5}, "cells": ["north"]}
    commit = {
        "call": "commit",
        "round_number": 1,
        "model": {"file": "a"},
        "metrics": {"loss": 0.5},
        "state": None,
    }
    return [
        pack_frames([{"call": "standing"}, {"call": "open_round", "round_number": 1}, ask]),
        pack_frames([{**ask, "model": {}, **beside}, {**commit, "consumed": [], "results": {"r": "r-0"}}]),
        pack_frames([{**commit, "consumed": [1]}, {"call": "next", "task": "train", "taken": [1]}]),
        pack_frames([{"call": "finish"}, {"call": "fail", "error": "task", "reason": "no"}]),
        pack_frames([{"call": "fail", "error": "task", "reason": UNPRINTABLE}]),
    ]


def texts() -> Sequence[bytes]:
    paths = "'/srv/My Data/John Smith.csv' /srv/x:3 ~op/y https://host/z, /site/runs/1 and /site."
    return [json_bytes([text, 40]) for text in (HALVES, UNPRINTABLE, paths, "line\n" * 20)]


YAML = (
    *(PLAN, GROUPED, SITE, AGGREGATOR, OPERATOR),
    "a: |\n  text\n  more\nb: >-\n  folded\n? explicit\n: 'it''s'\nc: \"\\u00e4\\x41\\n\"\n",
    "%YAML 1.2\n---\n- [1, -2, .5, 1e-5, ~, true]\n- {a: b, c: {d: [e]}}\n- - x\n  - y\n...\n",
)
