"""Receipts to test with, signed by an aggregator that a test makes up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt, ReceivedOutcome
from hanse.core.journal.restores import LostRecord, RestoreAcknowledgement
from hanse.core.values.canonical import digest_of
from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import CertifiedStatement
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.receipts import sign_acknowledgement, sign_receipt
from hanse.pki.signing_key import SigningKey

SITE, RUN = "hospital-a", "demo-1"


def head(sequence: int, digit: str = "a") -> ChainHead:
    """A record that exists nowhere."""
    return ChainHead(sequence=sequence, digest=digit * 64)


def certified(authority: Authority, role: Role, name: str, now: Any) -> Credentials:
    """A party with a certificate for a day, which lies in no folder."""
    key = new_key()
    hosts = ("localhost",) if role is Role.AGGREGATOR else ()
    party = Party(authority.federation, role, name)
    certificate = authority.issue(key.public_key(), party, now=now, lifetime=timedelta(days=1), hosts=hosts)
    return Credentials(Path("nowhere"), key, certificate, authority.certificate)


@dataclass
class Signer:
    """Signs what an aggregator and an operator of a federation would.

    Attributes:
        changes: What the next receipts say otherwise.
    """

    authority: Authority
    now: Any
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.aggregator = certified(self.authority, Role.AGGREGATOR, "hub", self.now)
        self.operator = certified(self.authority, Role.OPERATOR, "olga", self.now)
        self.key = SigningKey.create()

    @property
    def now_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def receipt(self, received: ReceivedOutcome | None = None, **changes: Any) -> CertifiedStatement:
        """A receipt for `SITE`."""
        told = {"federation": "north", "site": SITE, "members": head(3), "time_ms": self.now_ms}
        return sign_receipt(
            self.aggregator,
            Receipt.model_validate(told | {"received": received} | self.changes | changes),
        )

    def of_outcome(
        self, body: dict[str, Any], journal: ChainHead, known: ChainHead | None = None, **changes: Any
    ) -> CertifiedStatement:
        """The receipt of an outcome."""
        return self.receipt(received(body, journal, known), **changes)

    def acknowledgement(self, **changes: Any) -> CertifiedStatement:
        """An operator's word that the aggregator was restored."""
        told = {
            "federation": "north",
            "operator": "olga",
            "lost": LostRecord(stream=RUN, heard=head(9), own=head(4, "b"), site=SITE),
            "reason": "a disk failed",
            "time_ms": self.now_ms,
        }
        acknowledgement = RestoreAcknowledgement.model_validate(told | changes)
        return sign_acknowledgement(self.operator, self.key, acknowledgement)


def received(body: dict[str, Any], journal: ChainHead, known: ChainHead | None = None) -> ReceivedOutcome:
    """What a receipt says of an outcome."""
    return ReceivedOutcome(
        run_id=body["run_id"],
        exchange=body["exchange"],
        outcome=digest_of(body),
        journal=journal,
        known=known,
    )
