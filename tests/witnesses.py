"""Runs to test with, whose sites keep the receipts that they get."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.blobs import named
from tests.journals import LAST_MODEL, MODEL, NOW_MS, RUN, SITES, UPDATE, Author
from tests.receipts import head

from hanse.collaborator.receipts.store import ReceiptStore
from hanse.control.report import AuditReport
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt, ReceivedOutcome
from hanse.core.run.lifecycle import Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.values.canonical import digest_of
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import CertifiedStatement
from hanse.pki.receipts import sign_receipt
from hanse.wire.messages.sites import UpdateFile


@dataclass
class Witnesses:
    """A run in which sites keep the receipts that they get."""

    author: Author
    folder: Path
    members: ChainHead = field(default_factory=lambda: head(3))
    restored: ChainHead | None = None
    last: dict[str, ChainHead] = field(default_factory=dict)

    def site(self, name: str) -> Path:
        return self.folder / name

    def receipt(self, name: str, **changes: Any) -> CertifiedStatement:
        """A receipt of the last outcome of a site."""
        records = self.author.journal.read(RUN)
        told = next(
            record
            for record in reversed(records)
            if record.kind in ("UpdateAccepted", "TaskFailed") and record.body["site"] == name
        )
        received = ReceivedOutcome.model_validate(
            {
                "run_id": RUN,
                "exchange": told.body["exchange"],
                "outcome": digest_of(told.body["statement"]["body"]),
                "journal": ChainHead.of(records[-1]),
                "known": self.last.get(name),
                **changes.pop("received", {}),
            }
        )
        self.last[name] = received.journal
        receipt = Receipt.model_validate(
            {
                "federation": "north",
                "site": name,
                "members": self.members,
                "restored": self.restored,
                "received": received,
                "time_ms": NOW_MS,
                **changes,
            }
        )
        return sign_receipt(self.author.aggregator, receipt)

    def keep(self, name: str, statement: CertifiedStatement) -> None:
        self.site(name).mkdir(parents=True, exist_ok=True)
        ReceiptStore(self.site(name)).add(statement, Receipt.model_validate(statement.body))

    def answer(self, name: str, **changes: Any) -> None:
        self.author.answer_task(name, **changes)
        self.keep(name, self.receipt(name))

    def train(self) -> None:
        for name in SITES:
            self.author.accept_plan(name)
        for command in (OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
            self.author.do(command)
        for name in SITES:
            self.answer(name, update=UpdateFile(digest=UPDATE, size=120))
        self.author.do(RecordAggregate(1, SITES, 10, "e" * 64))

    def evaluate(self) -> None:
        self.author.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        self.answer("budapest")
        self.answer("zurich", outcome="failed", reason="out of memory", log_tail="killed")
        self.author.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.author.do(Finish())


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}
