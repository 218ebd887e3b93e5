"""A site's part in one masked sum: events in, instructions out.

    prepared --Asked--> ready --RosterCame--> rostered --MaskWritten--> masked
        ^ each is left for ready, with the next number, when it cannot continue: a restart, a new attempt

`failed` is final. The vector q is on the disk, and its commitment recorded, before the first event.
Instructions are carried out in their order, and each `Record...` is durable before what follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hanse.core.values.sums.ready import MOST_ATTEMPTS, SUITE, ReadyBody
from hanse.errors import TrustError
from hanse.privacy.secagg.cells import overlaps
from hanse.privacy.secagg.grid import Randomness
from hanse.privacy.secagg.keys import MemberKeys, pair_key, private_key, public_of
from hanse.privacy.secagg.masks import MaskKey
from hanse.privacy.secagg.roster import Pins, Roster, Verify, check_peers, check_roster, checked_peers
from hanse.privacy.secagg.site_steps import (
    Asked,
    AskPerson,
    Event,
    Fail,
    FailureKind,
    FetchRoster,
    Instruction,
    MaskWritten,
    RecordMasked,
    RecordReady,
    RecordRoster,
    RosterCame,
    SendMasked,
    SendReady,
    WriteMasked,
)

_PRIVATE_KEY_BYTES = 32


class SumPhase(StrEnum):
    """Where a site is with its part in a sum."""

    PREPARED = "prepared"
    READY = "ready"
    ROSTERED = "rostered"
    MASKED = "masked"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SumPlan:
    """Values that stay the same for a site in one exchange.

    Attributes:
        federation: Name of the federation.
        run_id: The run.
        exchange: Number of the exchange.
        cell: Name of the cell.
        members: Names of its members.
        site: This site.
        signer: Fingerprint of its signing key.
        context: Digest of the context.
        commitment: To q.
        colluders: c, as it holds at this site.
        pins: Keys of the peers.
    """

    federation: str
    run_id: str
    exchange: int
    cell: str
    members: tuple[str, ...]
    site: str
    signer: str
    context: str
    commitment: str
    colluders: int
    pins: Pins


@dataclass(frozen=True, slots=True)
class LiveReady:
    """A READY whose private key is in memory.

    Attributes:
        body: Of the READY.
        private: Its private key, which is never written.
    """

    body: ReadyBody
    private: X25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class MaskedVector:
    """A y that is on the disk and recorded: its attempt, and the digest of its file."""

    attempt: int
    digest: str


@dataclass(frozen=True, slots=True)
class SumHistory:
    """Records of an exchange in a site's journal.

    Attributes:
        last: Highest number of a READY that was released; 0 for none.
        commitments: Of the first accepted roster, by name; empty for none.
        signers: Fingerprints of the same roster, by name.
        masked: Each recorded y whose file is there, by rho.
    """

    last: int = 0
    commitments: Mapping[str, str] = field(default_factory=dict)
    signers: Mapping[str, str] = field(default_factory=dict)
    masked: Mapping[str, MaskedVector] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteSum:
    """State of a site's part in one sum.

    Attributes:
        plan: What stays the same.
        history: What is recorded, with what the instructions so far record.
        live: The READY that a roster can be accepted for.
        masking: The roster that is being masked in this process.
        failed: Whether the exchange has failed here.
    """

    plan: SumPlan
    history: SumHistory = SumHistory()
    live: LiveReady | None = None
    masking: Roster | None = None
    failed: bool = False

    @property
    def phase(self) -> SumPhase:
        """Where the site is."""
        if self.failed:
            return SumPhase.FAILED
        if self.live is not None:
            return SumPhase.READY
        if self.masking is not None:
            return SumPhase.ROSTERED
        return SumPhase.MASKED if self.history.masked else SumPhase.PREPARED


Step = tuple[SiteSum, tuple[Instruction, ...]]


def begin(plan: SumPlan, history: SumHistory = SumHistory()) -> SiteSum:
    """Begin an exchange, or resume it after a restart, when no private key is left.

    Raises:
        PolicyError: The cell is too small, or too few of its members are checked.
    """
    check_peers(plan.site, plan.members, plan.colluders, plan.pins)
    return SiteSum(plan, history)


def step(state: SiteSum, event: Event, *, randomness: Randomness, verify: Verify) -> Step:
    """Apply one event.

    Args:
        state: Of the site.
        event: What happened.
        randomness: Of the operating system; 32 bytes are taken for each new READY.
        verify: Checks the signature of a READY.

    Returns:
        The next state, and what has to be done, in order.
    """
    if state.failed:
        return state, ()
    match event:
        case Asked():
            return _asked(state, event, randomness)
        case RosterCame():
            return _roster_came(state, event, verify)
        case MaskWritten():
            return _mask_written(state, event)


def _asked(state: SiteSum, event: Asked, randomness: Randomness) -> Step:
    if event.rho is not None and event.rho in state.history.masked:
        kept = state.history.masked[event.rho]
        return state, (SendMasked(kept.attempt, event.rho, kept.digest),)
    if state.live is not None and event.attempt <= state.live.body.attempt:
        if event.rho is not None and event.attempt == state.live.body.attempt:
            return state, (FetchRoster(event.rho),)
        return state, (SendReady(state.live.body),)
    if state.masking is not None and event.rho == state.masking.rho:
        return state, ()
    return _next_ready(state, event, randomness)


def _next_ready(state: SiteSum, event: Asked, randomness: Randomness) -> Step:
    # A roster of an attempt that the journal lacks has a READY that this folder has forgotten: that number
    # is used up. Numbers rise whatever is asked, so that no number ever has two READYs.
    attempt = max(event.attempt + (event.rho is not None), state.history.last + 1)
    if attempt > MOST_ATTEMPTS:
        return _failed(state, FailureKind.ATTEMPTS, f"{MOST_ATTEMPTS} attempts are used up")
    private = private_key(randomness(_PRIVATE_KEY_BYTES))
    plan = state.plan
    body = ReadyBody(
        suite=SUITE,
        federation=plan.federation,
        run_id=plan.run_id,
        exchange=plan.exchange,
        cell=plan.cell,
        attempt=attempt,
        site=plan.site,
        signer=plan.signer,
        context=plan.context,
        public=public_of(private),
        commitment=plan.commitment,
    )
    history = replace(state.history, last=attempt)
    nxt = replace(state, history=history, live=LiveReady(body, private), masking=None)
    return nxt, (RecordReady(body), SendReady(body))


def _roster_came(state: SiteSum, event: RosterCame, verify: Verify) -> Step:
    if state.live is None:
        return state, ()
    own, plan, history = state.live, state.plan, state.history
    pins = replace(plan.pins, seen={**plan.pins.seen, **history.signers})
    try:
        roster = check_roster(event.statements, own.body, plan.members, pins, history.commitments, verify)
        keys = _mask_keys(own, roster)
    except TrustError as error:
        return _failed(state, FailureKind.ROSTER, str(error))
    if waiting := overlaps(roster.signers, event.earlier, event.agreed):
        return state, (AskPerson(roster.signers, waiting),)
    if not history.commitments:
        history = replace(history, commitments=roster.commitments, signers=roster.signers)
    # One roster for each READY: the private key is gone with this step.
    nxt = replace(state, history=history, live=None, masking=roster)
    attempt, checked = own.body.attempt, checked_peers(plan.site, plan.members, plan.pins)
    record = RecordRoster(attempt, roster.rho, roster.signers, roster.commitments, checked)
    return nxt, (record, WriteMasked(attempt, roster.rho, keys))


def _mask_keys(own: LiveReady, roster: Roster) -> tuple[MaskKey, ...]:
    mine = MemberKeys(own.body.signer, own.body.public)
    peers: Iterable[ReadyBody] = (body for name, body in roster.members.items() if name != own.body.site)
    return tuple(
        pair_key(own.private, roster.rho, mine, MemberKeys(peer.signer, peer.public), peer.site)
        for peer in peers
    )


def _mask_written(state: SiteSum, event: MaskWritten) -> Step:
    if state.masking is None or state.masking.rho != event.rho:
        return state, ()  # of an attempt that was given up meanwhile: its y is not released
    if event.commitment != state.plan.commitment:
        reason = "the vector on the disk is not the one that was recorded: it was changed, or restored"
        return _failed(state, FailureKind.LOST_VECTOR, reason)
    attempt = state.masking.members[state.plan.site].attempt
    masked = {**state.history.masked, event.rho: MaskedVector(attempt, event.masked)}
    nxt = replace(state, history=replace(state.history, masked=masked), masking=None)
    return nxt, (
        RecordMasked(attempt, event.rho, event.masked),
        SendMasked(attempt, event.rho, event.masked),
    )


def _failed(state: SiteSum, kind: FailureKind, reason: str) -> Step:
    return replace(state, failed=True, live=None, masking=None), (Fail(kind, reason),)
