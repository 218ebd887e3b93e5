"""Whether a site's signed statement bears out what a journal says of the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from hanse.core.run.round_events import ExchangeOpened, TaskFailed, UpdateAccepted
from hanse.core.run.run_events import PlanAnswered
from hanse.core.values.ask_inputs import stated
from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import CertifiedStatement, Statement
from hanse.errors import TrustError
from hanse.pki.signatures import verify
from hanse.pki.statements import S, check_certified, check_signed
from hanse.wire.journal_file import JOURNAL_SEAL, Seal
from hanse.wire.messages.sites import PlanAnswer, TaskOutcome, purpose_of_answer, purpose_of_outcome


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What every statement in a journal has to be about.

    Attributes:
        federation: Name of the federation.
        run_id: The run.
        plan_digest: Its plan.
        authority: The authority whose certificates count.
    """

    federation: str
    run_id: str
    plan_digest: str
    authority: x509.Certificate


def check_answer(event: PlanAnswered, setting: StatementContext, time_ms: int) -> None:
    """Check that a site gave this answer to the plan.

    Raises:
        TrustError: It did not sign one, signed another or with another key, or, before 0.2, its certificate
            was not good at the time.
        ProtocolError: What it signed is no answer.
    """
    stated = _stated(PlanAnswer, event.statement, _site(setting, event.site), setting, time_ms, event.signer)
    expected = {
        "plan_digest": setting.plan_digest,
        "accepted": event.accepted,
        "reasons": event.reasons,
        "signer": event.signer,
    }
    _must_agree(stated.model_dump(), expected, event.site)


def check_outcome(
    event: UpdateAccepted | TaskFailed,
    opened: ExchangeOpened,
    setting: StatementContext,
    time_ms: int,
    key: str | None,
) -> TaskOutcome:
    """Check that a site said this of its task.

    Args:
        event: What the journal says of it.
        opened: The exchange.
        setting: What the statement has to be about.
        time_ms: Time of the record, milliseconds since 1970.
        key: Fingerprint of the site's signing key; None where no answer of the site names one.

    Returns:
        What it signed.

    Raises:
        TrustError: As `check_answer`.
        ProtocolError: What it signed is no outcome of a task.
    """
    outcome = _stated(TaskOutcome, event.statement, _site(setting, event.site), setting, time_ms, key)
    said = {**outcome.model_dump(), "update": None if outcome.update is None else outcome.update.digest}
    said |= stated(outcome.inputs)
    expected = {
        "run_id": setting.run_id,
        "plan_digest": setting.plan_digest,
        **opened.model_dump(include={"exchange", "round_number", "task", "model"}),
        **stated(opened.inputs),
    }
    match event:
        case UpdateAccepted():
            about = {"outcome": "done", **event.model_dump(include={"num_examples", "metrics", "update"})}
        case TaskFailed():
            about = {"outcome": "failed", "log_tail": event.log_tail}
            if said["reason"]:  # a site may give none
                about["reason"] = event.reason
    _must_agree(said, expected | about, event.site)
    return outcome


def check_seal(seal: Seal, setting: StatementContext) -> Party:
    """Check who sealed a journal.

    Raises:
        TrustError: No aggregator of the federation did, or it signed something else.
    """
    body = seal.seal.model_dump(mode="json")
    party = verify(seal.signature, JOURNAL_SEAL, body, setting.authority, _time(seal.seal.sealed_ms))
    if party.role is not Role.AGGREGATOR:
        raise TrustError(f"{party.uri} sealed the journal, which is for the aggregator to do")
    return party


def _site(setting: StatementContext, site: str) -> Party:
    return Party(setting.federation, Role.COLLABORATOR, site)


def _stated(
    kind: type[S],
    statement: Statement | None,
    by: Party,
    setting: StatementContext,
    time_ms: int,
    key: str | None,
) -> S:
    if statement is None:
        raise TrustError(f"{by.name} signed nothing")
    purpose = purpose_of_answer(statement) if kind is PlanAnswer else purpose_of_outcome(statement)
    if isinstance(statement, CertifiedStatement):
        at = _time(time_ms)
        return check_certified(statement, kind, purpose, by=by, authority=setting.authority, at=at)
    return check_signed(statement, kind, purpose, by=by, keys=() if key is None else (key,))


def _must_agree(said: Mapping[str, Any], told: Mapping[str, Any], site: str) -> None:
    for name, value in told.items():
        if said[name] != value:
            raise TrustError(
                f"{site} signed {name} {_short(said[name])}, and the journal says {_short(value)}"
            )


def _time(time_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise TrustError(f"{time_ms} ms is not a time at which a signature can have been made") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
