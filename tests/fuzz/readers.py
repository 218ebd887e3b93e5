"""What the targets run: each reads as the program does, and checks that what is valid comes back the same."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.examples import OUTCOME
from tests.fuzz.world import things
from tests.journals import NOW, NOW_MS, PLAN, RUN

from hanse.aggregator.run_worker.protocol import read_call
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.collaborator.task_inputs import check_group_file, received
from hanse.collaborator.task_worker.protocol import read_report
from hanse.config.dialect import DialectError, dump, parse
from hanse.config.document import Document
from hanse.control import signers as signers_file
from hanse.control.audit import verify
from hanse.control.receipts import check_receipts
from hanse.core.journal.membership import join, members, read_membership_event
from hanse.core.plan.group_tensors import Received, problem_of_received
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.policy import Policy, decide
from hanse.core.plan.transforms import Compression
from hanse.core.run.events import read_event
from hanse.core.run.evolve import evolve
from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.groups import flattened
from hanse.core.values.roster import RosterProof, check_place
from hanse.core.values.safe_text import is_safe, last_lines, outgoing_line
from hanse.core.values.schema import Strict
from hanse.core.values.statements import Body
from hanse.core.values.sums.ready import read_ready
from hanse.core.values.update import Aggregate, Update
from hanse.errors import ConfigError, HanseError, TrustError
from hanse.pki import certificates, enrolment, enrolment_file, key_statements, keys, signing_key
from hanse.pki.receipts import verify_acknowledgement
from hanse.sandbox import async_channel, channel
from hanse.updates.aggregate_file import opened_aggregate
from hanse.updates.drafts import FileDraft
from hanse.updates.incoming import check_incoming, fold
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing, release
from hanse.updates.residuals import Residuals
from hanse.wire import tensors
from hanse.wire.journal_file import read_lines
from hanse.wire.messages.basics import decode, decode_value, encode, reported
from hanse.wire.messages.members import AcknowledgeRequest
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    PlanAnswer,
    ResultRequest,
    TaskOutcome,
    UpdateFile,
)

Read = Callable[[bytes], object]


def message(kind: type[Strict]) -> Read:
    """A message of this kind."""

    def run(data: bytes) -> None:
        found = decode(kind, data)
        assert decode(kind, encode(found)) == found
        assert decode_value(kind, json.loads(encode(found))) == found

    return run


def memory() -> str | None:
    """A folder that lies in memory, unless the environment names another; None for the usual one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() and "TMPDIR" not in os.environ else None


@functools.cache
def scratch() -> Path:
    """A folder for decoders that read files."""
    folder = tempfile.TemporaryDirectory(prefix="hanse-fuzz-", dir=memory())
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _written(data: bytes) -> Path:
    path = scratch() / "input"
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def statement(data: bytes) -> None:
    """A signed statement, as aggregator and auditor check it."""
    told = decode(ResultRequest, data).statement
    purpose = PLAN_ANSWER if "accepted" in told.body else TASK_RESULT
    with suppress(TrustError):  # what it says has to be read too
        signing_key.verify_statement(told, purpose)
    kind = PlanAnswer if purpose == PLAN_ANSWER else TaskOutcome
    message(kind)(canonical_json(told.body))
    decode_value(kind, told.body)


def error(data: bytes) -> None:
    """What an aggregator says of a request that it refuses."""
    refused = reported(data)
    str(refused).encode()


def tensors_file(data: bytes) -> None:
    """A file of tensors, in memory, mapped, and its header alone."""
    path, failed = _written(data), None
    try:
        found = tensors.decode(data)
    except HanseError as error:
        failed = error
    for read in (tensors.open_file, tensors.read_specs):
        try:
            read(path)
        except HanseError:
            assert failed is not None, f"{read.__name__} refuses what `decode` takes"
        else:
            # The header alone does not tell that a boolean is neither 0 nor 1.
            assert failed is None or read is tensors.read_specs, f"{read.__name__} takes what is refused"
    if failed is not None:
        raise failed
    again = tensors.decode(tensors.encode(found))
    assert tensors.specs(again) == tensors.specs(found)
    assert all(again[name].tobytes() == found[name].tobytes() for name in found)


@functools.cache
def model() -> dict[str, Any]:
    """The parameters that the update is of."""
    return {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.ones((), np.int64)}


def update(data: bytes) -> None:
    """An update held against what the plan declares, as agent and aggregator do."""
    origin = Origin(PLAN, "train", "a", 1, Received(tensors.specs(model())))
    file = UpdateFile(digest=sha256(data), size=len(data))
    outgoing = Outgoing(5, {"loss": 0.5}, FileDraft(_written(data), file, str(origin), 1 << 20))
    release(outgoing, origin, Residuals(scratch() / "residuals"))


@functools.cache
def grouped_plan() -> Plan:
    """A plan whose task receives and discloses groups."""
    from tests.fuzz.seeds import GROUPED

    return Plan.model_validate(parse(GROUPED).value)


def grouped_update(data: bytes) -> None:
    """As `update`, of groups, and opened as an aggregator opens it."""
    plan = grouped_plan()
    edges = {"@edges": np.array([-1.0, 0, 1])}
    uncompressed = plan.model_copy(update={"compression": Compression()})
    origin = Origin(uncompressed, "count", "a", 1, Received(None, tensors.specs(edges)))
    path = _written(data)
    check_incoming(tensors.open_file(path), origin)
    answer = Update("a", 5, {}, tensors.open_file(path))
    found = fold(uncompressed, "count", [answer, replace(answer, site="b")])
    assert set(found.groups) == {"counts", "scores"}
    assert set(found.each["edges"]) == {"a", "b"}
    for array in flattened(found.groups).values():
        np.array(array)


def group_file(data: bytes) -> None:
    """The file of a group, as an agent takes it."""
    path = _written(data)
    check_group_file("edges", path)
    problem_of_received(grouped_plan(), "count", received(None, [path]))


def aggregate(data: bytes) -> None:
    """The file of an aggregate, as a run worker opens it."""
    found = tensors.decode(data)
    opened = opened_aggregate(Aggregate(5, {}, {}, ("a", "b")), found, grouped=True)
    assert set(flattened(opened.groups)) <= set(found)


def manifest(data: bytes) -> None:
    """A plan that came from elsewhere, and the decision on it."""
    found = Manifest.from_bytes(data, sha256(data))
    assert Manifest.from_bytes(found.to_bytes(), found.digest) == found
    decide(Policy(accept=("*",)), found, found.digest, frozenset())


def settings(schema: type[Strict], error: type[ConfigError], context: dict[str, Any] | None) -> Read:
    def run(data: bytes) -> None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return  # `Document.load` refuses it before
        Document.of(text, "file", error).check(schema, context)  # type: ignore[type-var]

    return run


def dialect(data: bytes) -> None:
    with suppress(DialectError):
        value = parse(data.decode("utf-8", "replace")).value
        assert parse(dump(value)).value == value


def lines(data: bytes) -> None:
    for line in read_lines(_written(data)):
        assert isinstance(line, dict)


def audit(data: bytes) -> None:
    verify(_written(data), things().authority.certificate).as_json()


def receipts(data: bytes) -> None:
    """A file of receipts, as an auditor holds a journal against it, and as an agent takes it up."""
    folder = scratch() / "receipts"
    folder.mkdir(exist_ok=True)
    path, journal = folder / f"{RUN}.jsonl", scratch() / "journal.jsonl"
    path.write_bytes(data)
    journal.write_bytes(things().journal)
    report = verify(journal, things().authority.certificate)
    check_receipts(report, journal, [scratch()], things().authority.certificate)
    report.as_json()
    ReceiptStore(scratch()).last(RUN)  # cuts off a torn end


def acknowledgement(data: bytes) -> None:
    """An operator's acknowledgement of a restore, as a site and an auditor check it."""
    statement = decode(AcknowledgeRequest, data).statement
    verify_acknowledgement(statement, things().authority.certificate)


def events(data: bytes) -> None:
    """A journal's events, folded into a run as a restarted aggregator does."""
    run = None
    for line in _unpacked(data):
        try:
            event = read_event(str(line.get("kind")), line["body"])
        except ValueError:
            continue
        run = evolve(run, event, NOW_MS)


def membership(data: bytes) -> None:
    membership = members(())
    for line in _unpacked(data):
        try:
            event = read_membership_event(str(line.get("kind")), line["body"])
        except ValueError:
            continue
        membership = join(membership, event)


def _unpacked(data: bytes) -> list[dict[str, Any]]:
    """Records that a journal can hold: only their bodies are a stranger's."""
    try:
        value = json.loads(data)
        canonical_json(value)
    except (ValueError, RecursionError):
        return []
    lines = value if isinstance(value, list) else []
    return [line for line in lines if isinstance(line, dict) and isinstance(line.get("body"), dict)]


def token(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(HanseError):
        enrolment.verify_token(things().authority.certificate, text, NOW)
    invitation = enrolment.read_token(text)
    assert invitation.party.uri


def certificate(read: Callable[[bytes], Any]) -> Read:
    def run(data: bytes) -> None:
        certificate = read(data)
        with suppress(HanseError):
            certificates.federation_of(certificate)
        with suppress(HanseError):
            certificates.verify_certificate(things().site.certificate, certificate, NOW)
        certificates.fingerprint(certificate)
        if certificate != things().authority.certificate:
            certificates.verify_certificate(certificate, things().authority.certificate, NOW)

    return run


def signers(data: bytes) -> None:
    """A list of signing keys, which a person may have written."""
    signers_file.read_signers(_written(data))


def request(data: bytes) -> None:
    """A request that a party made which joins by files."""
    csr, stated = enrolment_file.read_request(data.decode("utf-8", "replace"))
    with suppress(HanseError):
        enrolment.read_csr(csr)
    key_statements.check_enrolment(stated, things().site.party)


def place(data: bytes) -> None:
    """A site's place in a roster, which the aggregator may have made up."""
    with suppress(TrustError):
        check_place(decode(RosterProof, data), "0" * 64, "a", "1" * 64)


class _Stated(Strict):
    body: Body


def ready(data: bytes) -> None:
    """The body of a READY of another site; what is read has one form."""
    body = decode(_Stated, data).body
    if read_ready(body).model_dump() != body:
        raise AssertionError("a READY was read that says something else")


def key(data: bytes) -> None:
    """A private key, which a person may have put there."""
    keys.load_key(_written(data))


def frames(data: bytes) -> Sequence[dict[str, Any]]:
    """Read frames at both ends, which have to find the same."""

    async def received() -> list[dict[str, Any]]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        end, found = async_channel.AsyncChannel(reader, None), []  # type: ignore[arg-type]
        while (message := await end.receive()) is not None:
            found.append(message)
        return found

    other = asyncio.run(_outcome_of(received))
    blocking = channel.Channel(os.open(_written(data), os.O_RDONLY))
    found: list[dict[str, Any]] = []
    try:
        while (message := blocking.receive()) is not None:
            found.append(message)
    except HanseError as error:
        if str(error) != other:
            raise RuntimeError("the two ends of a channel differ") from error
        raise
    finally:
        blocking.close()
    assert repr(found) == other, "the two ends of a channel differ"
    return found


async def _outcome_of(received: Callable[[], Awaitable[object]]) -> str:
    try:
        return repr(await received())
    except HanseError as error:
        return str(error)


def reports(data: bytes) -> None:
    """What a worker reports, up to what the agent would sign and record of it."""
    for message in frames(data):
        report = read_report(message)
        assert all(map(is_safe, (report.reason, report.mend, report.log_tail)))
        failed = {"outcome": "failed", "reason": report.reason, "log_tail": report.log_tail}
        canonical_json(TaskOutcome.model_validate(OUTCOME | failed).model_dump(mode="json"))
        canonical_json(sorted(report.metrics))


def calls(data: bytes) -> None:
    """What a run worker asks, up to what the journal would hold of it."""
    for message in frames(data):
        canonical_json(read_call(message).model_dump(mode="json"))


ROOTS = {"/srv/My Data": "<data>", "/site": "<site>"}


def text(data: bytes) -> None:
    """Text of others, made fit to leave a site."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    match value:
        case [str(found), int(most)] if 0 <= most <= 10_000:
            line, tail = outgoing_line(found, most, ROOTS), last_lines(found, most)
            assert is_safe(line)
            assert is_safe(tail)
            assert max(len(line), len(tail)) <= most
            canonical_json([line, tail])
