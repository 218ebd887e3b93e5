"""Checks of a READY in a journal: who signed it, and for which attempt at which sum."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.control.sums.evidence import CellEvidence, MaskedExchange, RunName
from hanse.core.run.sums.events import SiteReady
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY, SUITE, ReadyBody, read_ready
from hanse.errors import TrustError
from hanse.pki.signing_key import verify_statement
from hanse.privacy.secagg.keys import check_public


def signed_body(statement: SignedStatement) -> tuple[str, ReadyBody]:
    """Fingerprint of the key that signed a READY, and its body.

    Raises:
        TrustError: The statement was altered, or is not a READY in its one form.
    """
    return verify_statement(statement, READY), read_ready(statement.body)


def problems_of_ready(
    event: SiteReady, signer: str, body: ReadyBody, exchange: MaskedExchange, cell: CellEvidence, run: RunName
) -> Iterator[str]:
    """Say in words what of a READY is not as it has to be.

    Args:
        event: As the journal has it.
        signer: Fingerprint of the key that signed the READY.
        body: Its body.
        exchange: The exchange.
        cell: The cell that the event names.
        run: The run.
    """
    ready = f"the READY of {event.site}"
    expected = {
        "suite": SUITE,
        "federation": run.federation,
        "run_id": run.run_id,
        "exchange": event.exchange,
        "cell": event.cell,
        "attempt": event.attempt,
        "site": event.site,
    }
    for what, value in expected.items():
        if getattr(body, what) != value:
            yield f"{ready} is signed with {what} {getattr(body, what)!r}, and the journal has {value!r}"
    if body.signer != signer:
        yield f"{ready} names signing key {body.signer[:16]}, and {signer[:16]} signed it"
    known = exchange.keys.get(event.site)
    if signer != known:
        yield f"{ready} is signed with key {signer[:16]}; by the run's roster its key is {_short(known)}"
    try:
        check_public(body.public, event.site)
    except TrustError as error:
        yield error.message
    yield from _beside_others(ready, body, cell)


def _beside_others(ready: str, body: ReadyBody, cell: CellEvidence) -> Iterator[str]:
    """Hold a READY against those of the same cell that came before."""
    if body.attempt != cell.attempt:
        yield f"{ready} is for attempt {body.attempt}, and attempt {cell.attempt} of the cell had begun"
    others = cell.of(body.attempt).ready
    for name, other in others.items():
        if name == body.site:
            yield f"{ready} is the second of attempt {body.attempt}"
        elif other.public == body.public:
            yield f"{ready} states the public key of {name}"
        elif other.signer == body.signer:
            yield f"{ready} is signed with the key of {name}"
    first = cell.commitments.get(body.site, body.commitment)
    if first != body.commitment:
        yield f"{ready} commits to other numbers than its first of exchange {body.exchange}"


def _short(key: str | None) -> str:
    return "none" if key is None else key[:16]
