"""Members of a cell with signing keys, and their masked sums without network, disk or clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY
from hanse.pki.signing_key import SigningKey, verify_statement
from hanse.privacy.secagg.aggregator import CellPlan
from hanse.privacy.secagg.grid import Randomness, Words
from hanse.privacy.secagg.masks import BLOCK_BYTES, MaskKey, mask_block
from hanse.privacy.secagg.roster import Pins
from hanse.privacy.secagg.site import LiveReady, SiteSum, Step, SumHistory, SumPlan, begin, step
from hanse.privacy.secagg.site_steps import Asked, Event, MaskWritten, RosterCame, WriteMasked

CONTEXT = sha256(b"the same question")


@dataclass(frozen=True, slots=True)
class Member:
    """A site of a cell, with its signing key."""

    name: str
    key: SigningKey

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint


def member(name: str, key: str = "") -> Member:
    """A member whose key follows from `key`, so that a test runs alike each time."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sha256((key or name).encode())))
    return Member(name, SigningKey.of(private))


def random_bytes(seed: int) -> Randomness:
    """Random bytes that follow from a seed."""
    return np.random.default_rng(seed).bytes


def verify(statement: SignedStatement) -> str:
    return verify_statement(statement, READY)


def sum_plan(own: Member, members: Sequence[Member], **changes: Any) -> SumPlan:
    """The plan of one member, which has checked all others; c = 1."""
    plan = SumPlan(
        federation="north",
        run_id="r1",
        exchange=4,
        cell="all",
        members=tuple(m.name for m in members),
        site=own.name,
        signer=own.fingerprint,
        context=CONTEXT,
        commitment=sha256(f"q of {own.name}".encode()),
        colluders=1,
        pins=Pins({m.name: m.fingerprint for m in members}),
    )
    return replace(plan, **changes)


def cell_plan(members: Sequence[Member]) -> CellPlan:
    return CellPlan("north", "r1", 4, "all", CONTEXT, {m.name: m.fingerprint for m in members})


class Site:
    """A site that takes events one by one and keeps what its instructions were."""

    def __init__(
        self, own: Member, members: Sequence[Member], history: SumHistory | None = None, **changes: Any
    ) -> None:
        self.own = own
        self.state: SiteSum = begin(sum_plan(own, members, **changes), history or SumHistory())
        self.random = random_bytes(int(own.fingerprint[:12], 16) + (history.last if history else 0))

    def take(self, event: Event) -> tuple[Any, ...]:
        made: Step = step(self.state, event, randomness=self.random, verify=verify)
        self.state = made[0]
        return made[1]

    def ready(self, attempt: int = 1) -> SignedStatement:
        """The signed READY of an attempt."""
        self.take(Asked(attempt))
        return self.statement

    @property
    def live(self) -> LiveReady:
        assert self.state.live is not None
        return self.state.live

    @property
    def statement(self) -> SignedStatement:
        return self.own.key.sign(READY, self.live.body.model_dump())

    def keys(self, roster: Sequence[SignedStatement]) -> tuple[MaskKey, ...]:
        """Accept a roster, and the keys of its masks."""
        instructions = self.take(RosterCame(tuple(roster)))
        (write,) = (made for made in instructions if isinstance(made, WriteMasked))
        return write.keys

    def written(self, masked: str = "ab" * 32, commitment: str = "") -> tuple[Any, ...]:
        """The masked vector of the accepted roster is on the disk."""
        assert self.state.masking is not None
        return self.take(
            MaskWritten(self.state.masking.rho, masked, commitment or self.state.plan.commitment)
        )


def sites(names: str) -> list[Site]:
    """One site a letter, each of which has checked all others."""
    members = [member(name) for name in names]
    return [Site(own, members) for own in members]


def altered(statement: SignedStatement, own: Member, **changes: Any) -> SignedStatement:
    """A READY with another body, signed anew by a member."""
    return own.key.sign(READY, statement.body | changes)


def blocks(words: Words) -> Iterator[Words]:
    """A vector in blocks of 1 MiB."""
    size = BLOCK_BYTES // words.dtype.itemsize
    for start in range(0, max(len(words), 1), size):
        yield words[start : start + size]


def masked(words: Words, keys: Sequence[MaskKey]) -> Words:
    """y of q."""
    return np.concatenate([mask_block(block, k, keys) for k, block in enumerate(blocks(words))])


def masked_all(vectors: Mapping[str, Words]) -> dict[str, Words]:
    """y of each site of a cell, by its name of one letter."""
    cell = sites("".join(vectors))
    roster = [site.ready() for site in cell]
    return {site.own.name: masked(vectors[site.own.name], site.keys(roster)) for site in cell}
