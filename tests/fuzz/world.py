"""Keys, certificates, an invitation and a journal, the same to the byte each time: what seeds are made of."""

from __future__ import annotations

import functools
import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from tests.journals import NOW, NOW_MS, RUN, Author, World, new_world, reseal
from tests.parties import signing_key
from tests.unit.control.sums.masked_journal import MaskedAuthor

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt, ReceivedOutcome
from hanse.core.journal.restores import LostRecord, RestoreAcknowledgement
from hanse.core.values.canonical import digest_of
from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import invite, request_certificate
from hanse.pki.enrolment_file import write_request
from hanse.pki.key_statements import enrolment_of
from hanse.pki.receipts import sign_acknowledgement, sign_receipt
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer, TaskOutcome
from hanse.wire.receipt_file import line_of


@dataclass(frozen=True)
class Things:
    """What there is in the federation.

    Attributes:
        journal: An exported journal, by line.
        answer: A statement that a site signed on the plan.
        outcome: One on a task.
        receipts: The receipts of a site, by line.
        acknowledgement: An operator's, of a restore.
        masked_journal: An exported journal of a run with a masked sum, by line.
    """

    authority: Authority
    site: Credentials
    aggregator: Credentials
    token: str
    csr: str
    request: str
    key_pem: bytes
    certificate_der: bytes
    journal: bytes
    answer: dict[str, Any]
    outcome: dict[str, Any]
    receipts: bytes
    acknowledgement: dict[str, Any]
    masked_journal: bytes = b""


@contextmanager
def _always_the_same() -> Iterator[None]:
    keys, serials = itertools.count(1), itertools.count(1)

    def key() -> Ed25519PrivateKey:
        # Ed25519: its signatures leave nothing to chance.
        return Ed25519PrivateKey.from_private_bytes(next(keys).to_bytes(32, "big"))

    with ExitStack() as patches:
        patches.enter_context(patch("hanse.pki.authority.new_key", key))
        patches.enter_context(patch("tests.journals.new_key", key))
        patches.enter_context(patch("tests.journals.new_signing_key", lambda: SigningKey.of(key())))
        patches.enter_context(patch("cryptography.x509.random_serial_number", lambda: next(serials)))
        yield


@functools.cache
def things() -> Things:
    """Make all of it, once a process."""
    with _always_the_same(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parties").mkdir()
        world = new_world(folder / "parties")
        author = Author(world)
        author.whole_run()
        gathered = _gathered(world, author, folder)
        masked = MaskedAuthor(world)
        masked.whole_run()
        return replace(gathered, masked_journal=masked.export(folder / "masked.jsonl").read_bytes())


def _gathered(world: World, author: Author, folder: Path) -> Things:
    site = author.sites["budapest"]
    party = Party("north", Role.COLLABORATOR, "vienna")
    token = invite(
        world.authority,
        party,
        "https://aggregator.example.org:8443",
        token_id="0" * 32,
        now=NOW,
        lifetime=timedelta(days=1),
    )
    key = signing_key(site)
    lines = author.export(folder / "journal.jsonl").read_bytes()
    told = [json.loads(line) for line in lines.splitlines()]
    answer = next(line["body"]["statement"] for line in told if line.get("kind") == "PlanAnswered")
    outcome = next(line["body"]["statement"] for line in told if line.get("kind") == "UpdateAccepted")
    return Things(
        authority=world.authority,
        site=site,
        aggregator=author.aggregator,
        token=token,
        csr=request_certificate(site.key, party),
        request=write_request(request_certificate(site.key, site.party), enrolment_of(key, site.party)),
        key_pem=(site.directory / "party.key").read_bytes(),
        certificate_der=site.certificate.public_bytes(Encoding.DER),
        journal=lines,
        answer=state(key, PLAN_ANSWER, PlanAnswer.model_validate(answer["body"])).model_dump(),
        outcome=state(key, TASK_RESULT, TaskOutcome.model_validate(outcome["body"])).model_dump(),
        receipts=_receipts(author),
        acknowledgement=_acknowledgement(world),
    )


def _receipts(author: Author) -> bytes:
    """What budapest got for its outcomes."""
    lines, known = b"", None
    records = author.journal.read(RUN)
    for record in records:
        if record.kind == "UpdateAccepted" and record.body["site"] == "budapest":
            received = ReceivedOutcome(
                run_id=RUN,
                exchange=record.body["exchange"],
                outcome=digest_of(record.body["statement"]["body"]),
                journal=ChainHead.of(record),
                known=known,
            )
            receipt = Receipt(
                federation="north",
                site="budapest",
                members=ChainHead(sequence=3, digest="a" * 64),
                received=received,
                time_ms=NOW_MS,
            )
            lines += line_of(sign_receipt(author.aggregator, receipt))
            known = received.journal
    return lines


def _acknowledgement(world: World) -> dict[str, Any]:
    key = SigningKey.of(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    lost = LostRecord(stream=RUN, heard=ChainHead(sequence=9, digest="a" * 64), own=None, site="budapest")
    said = RestoreAcknowledgement(
        federation="north", operator="olga", lost=lost, reason="a disk failed", time_ms=NOW_MS
    )
    return sign_acknowledgement(world.party("olga", Role.OPERATOR), key, said).model_dump()


def resealed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A journal whose chain and seal are made anew, as a hostile aggregator can."""
    reseal(lines, things().aggregator)
    return lines
