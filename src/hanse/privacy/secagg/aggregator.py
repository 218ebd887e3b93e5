"""The aggregator's part in one masked sum: READYs and masked vectors of a cell in, instructions out.

It never has a mask, and there is no step in which one is disclosed: when the last y is there, the sum of
all y is the sum of all q.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hanse.core.values.canonical import canonical_json
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import MOST_ATTEMPTS, SUITE, ReadyBody, read_ready, rho_of
from hanse.errors import AttemptError, LateResultError, RunError, TrustError
from hanse.privacy.secagg.keys import check_public
from hanse.privacy.secagg.roster import Verify


@dataclass(frozen=True, slots=True)
class CellPlan:
    """Values that stay the same for a cell in one exchange.

    Attributes:
        federation: Name of the federation.
        run_id: The run.
        exchange: Number of the exchange.
        cell: Name of the cell.
        context: Digest of the context.
        signers: Fingerprint of the signing key of each member, by name, as recorded for the run.
    """

    federation: str
    run_id: str
    exchange: int
    cell: str
    context: str
    signers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RecordReady:
    """Record a member's READY, before it is answered."""

    site: str
    attempt: int
    statement: SignedStatement


@dataclass(frozen=True, slots=True)
class RecordAttempt:
    """Record that an attempt begins, before the READY that begins it.

    Attributes:
        attempt: Its number.
        site: The member whose READY begins it.
        reason: Why the attempt before did not end, in words.
    """

    attempt: int
    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class OfferRoster:
    """The roster is complete: let every member know its digest, and fetch it."""

    attempt: int
    rho: str


@dataclass(frozen=True, slots=True)
class RecordMasked:
    """Record that a member's y has come, before it is answered."""

    site: str
    attempt: int
    rho: str
    masked: str


@dataclass(frozen=True, slots=True)
class OpenSum:
    """The cell is complete: add the y up.

    Attributes:
        attempt: Number of the attempt.
        rho: Digest of its roster.
        masked: Digest of each member's y, by name.
    """

    attempt: int
    rho: str
    masked: Mapping[str, str]


Instruction = RecordReady | RecordAttempt | OfferRoster | RecordMasked | OpenSum


@dataclass(frozen=True, slots=True)
class CellSum:
    """State of one cell in one exchange.

    Attributes:
        plan: What stays the same.
        attempt: Number of the present attempt.
        ready: READYs of the attempt, by site.
        masked: Digests of the y of the attempt, by site.
        commitments: To which each site has committed, in any attempt.
        left_out: Whether the cell is out of this exchange.
    """

    plan: CellPlan
    attempt: int = 1
    ready: Mapping[str, SignedStatement] = field(default_factory=dict)
    masked: Mapping[str, str] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)
    left_out: bool = False

    @property
    def rho(self) -> str | None:
        """Digest of the roster; None while READYs are missing."""
        if self.ready.keys() != self.plan.signers.keys():
            return None
        return rho_of([read_ready(statement.body) for statement in self.ready.values()])

    @property
    def complete(self) -> bool:
        """True if the y of all members are there."""
        return self.masked.keys() == self.plan.signers.keys()

    @property
    def awaited(self) -> tuple[str, ...]:
        """Members of whom the present phase lacks something."""
        have = self.ready if self.rho is None else self.masked
        return tuple(sorted(self.plan.signers.keys() - have.keys()))


Step = tuple[CellSum, tuple[Instruction, ...]]


def take_ready(state: CellSum, statement: SignedStatement, verify: Verify) -> Step:
    """Take a member's READY.

    Args:
        state: Of the cell.
        statement: What came.
        verify: Checks its signature.

    Returns:
        The next state, and what has to be done, in order, before the member is answered. A repetition is
        taken, and changes nothing.

    Raises:
        TrustError: It is not a READY of a member in this exchange, or commits to other numbers.
        AttemptError: Its number is used up; says which is the next.
        LateResultError: The cell is complete or left out.
    """
    body = _checked(state, statement, verify)
    here = state.ready.get(body.site)
    if here is not None and canonical_json(here.body) == canonical_json(statement.body):
        return state, ()
    if state.complete or state.left_out:
        raise LateResultError(f"cell {state.plan.cell} of exchange {state.plan.exchange} has ended")
    known = state.commitments.get(body.site, body.commitment)
    if known != body.commitment:
        raise TrustError(
            f"{body.site} commits to other numbers than before in exchange {state.plan.exchange}",
            mend="Was its folder restored or copied? The site cannot take part in this exchange any more.",
        )
    if body.attempt < state.attempt or (body.attempt == state.attempt and here is not None):
        free = state.attempt + (here is not None)
        raise AttemptError(
            f"attempt {body.attempt} of {body.site} is over, or has another READY of it",
            mend=f"The next number is {free}." if free <= MOST_ATTEMPTS else "No attempt is left.",
        )
    begun: tuple[Instruction, ...] = ()
    nxt = state
    if body.attempt > state.attempt:
        begun = (RecordAttempt(body.attempt, body.site, _reason(state, body.site)),)
        nxt = replace(state, attempt=body.attempt, ready={}, masked={})
    ready = {**nxt.ready, body.site: statement}
    nxt = replace(nxt, ready=ready, commitments={**nxt.commitments, body.site: body.commitment})
    made: tuple[Instruction, ...] = (*begun, RecordReady(body.site, body.attempt, statement))
    if nxt.rho is not None:
        made = (*made, OfferRoster(nxt.attempt, nxt.rho))
    return nxt, made


def take_masked(state: CellSum, site: str, attempt: int, rho: str, masked: str) -> Step:
    """Take a member's masked vector, of which outcome and file are checked.

    Args:
        state: Of the cell.
        site: The member.
        attempt: Of its outcome.
        rho: Of its outcome.
        masked: Digest of the file of y.

    Returns:
        The next state, and what has to be done before the member is answered; the last y opens the sum.

    Raises:
        LateResultError: The attempt is over, or the cell left out.
        RunError: The site is not a member, or has sent another y for this roster.
    """
    if site not in state.plan.signers:
        raise RunError(f"{site} is not a member of cell {state.plan.cell}")
    if state.left_out or attempt != state.attempt or rho != state.rho:
        raise LateResultError(f"attempt {attempt} of cell {state.plan.cell} is over")
    if site in state.masked:
        if state.masked[site] != masked:
            raise RunError(f"{site} has sent another masked vector for this roster before")
        return state, ()
    nxt = replace(state, masked={**state.masked, site: masked})
    made: tuple[Instruction, ...] = (RecordMasked(site, attempt, rho, masked),)
    if nxt.complete:
        made = (*made, OpenSum(attempt, rho, nxt.masked))
    return nxt, made


def _checked(state: CellSum, statement: SignedStatement, verify: Verify) -> ReadyBody:
    signer, body, plan = verify(statement), read_ready(statement.body), state.plan
    if body.site not in plan.signers:
        raise TrustError(f"{body.site} is not a member of cell {plan.cell}")
    if not signer == body.signer == plan.signers[body.site]:
        raise TrustError(f"the READY of {body.site} is not signed with the key that is recorded for the run")
    expected = {
        "suite": SUITE,
        "federation": plan.federation,
        "run_id": plan.run_id,
        "exchange": plan.exchange,
        "cell": plan.cell,
        "context": plan.context,
    }
    for what, value in expected.items():
        if getattr(body, what) != value:
            raise TrustError(
                f"the READY of {body.site} has another {what} than this exchange",
                mend="The site was asked something else, or has another version; upgrade the older side.",
            )
    check_public(body.public, body.site)
    for name, other in state.ready.items():
        if name != body.site and other.body["public"] == body.public and body.attempt == state.attempt:
            raise TrustError(f"{body.site} states the public key of {name}")
    return body


def _reason(state: CellSum, site: str) -> str:
    if site in state.ready:
        return f"{site} lost the key of attempt {state.attempt}, as in a restart"
    return f"{site} had used up attempt {state.attempt} already"
