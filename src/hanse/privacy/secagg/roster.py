"""Check of a roster by a site: the signed READYs of all members of its cell, before it masks anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hanse.core.values.canonical import canonical_json
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import ReadyBody, read_ready, rho_of
from hanse.errors import PolicyError, TrustError
from hanse.privacy.secagg.keys import check_public

_LEAST_PIN = 33
"""Hexadecimal digits of a fingerprint, at least, that stand for a key: those of 12 words."""

Verify = Callable[[SignedStatement], str]
"""Checks a signature for the purpose of a READY; gives the key's fingerprint, or raises `TrustError`."""


@dataclass(frozen=True, slots=True)
class Pins:
    """Keys that a site knows its peers by.

    Attributes:
        checked: Fingerprints that people of this site have checked, by name: whole, or the first 33 or more
            hexadecimal digits.
        seen: Whole fingerprints that this site saw first, in this plan or before, by name.
        trust_on_first_use: Whether a cell may have fewer checked peers than c + 1.
    """

    checked: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)
    trust_on_first_use: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """A roster that a site has accepted.

    Attributes:
        rho: Digest of its bodies.
        members: The bodies, by the name of the site.
    """

    rho: str
    members: Mapping[str, ReadyBody]

    @property
    def signers(self) -> dict[str, str]:
        """Fingerprint of each member's signing key, by name."""
        return {name: body.signer for name, body in self.members.items()}

    @property
    def commitments(self) -> dict[str, str]:
        """Commitment of each member, by name."""
        return {name: body.commitment for name, body in self.members.items()}


def checked_peers(site: str, members: Sequence[str], pins: Pins) -> tuple[str, ...]:
    """Members of a cell whose keys people of this site have checked; its own name does not count."""
    return tuple(sorted(name for name in members if name != site and name in pins.checked))


def check_peers(site: str, members: Sequence[str], colluders: int, pins: Pins) -> None:
    """Refuse a cell that may be the operator's but for this site.

    Args:
        site: This site.
        members: Names of the cell's members.
        colluders: c: the largest of the plan's, the site's, and of all plans that this data was summed in.
        pins: Keys that this site knows.

    Raises:
        PolicyError: Fewer than c + 1 peers are checked, or the cell has fewer than c + 2 members.
    """
    if site not in members or len(set(members)) < colluders + 2:
        raise PolicyError(
            f"a cell of {len(set(members))} members hides no update of {site} from {colluders} that collude",
            mend="Ask the author of the plan for larger cells.",
        )
    checked = checked_peers(site, members, pins)
    if len(checked) < colluders + 1 and not pins.trust_on_first_use:
        raise PolicyError(
            f"the keys of {len(checked)} peers in the cell are checked, and {colluders + 1} have to be",
            mend="Check more of them by telephone, and enter them under `secure_aggregation: peers`.",
        )


def check_roster(
    statements: Sequence[SignedStatement],
    own: ReadyBody,
    members: Sequence[str],
    pins: Pins,
    first: Mapping[str, str],
    verify: Verify,
) -> Roster:
    """Check a roster in the order of decision 0041.

    Args:
        statements: READYs of all members.
        own: This site's READY that is live.
        members: Names of the cell's members, by the plan.
        pins: Keys that this site knows; its own is that of `own`.
        first: Commitments of the first roster that was accepted in this exchange; empty for none.
        verify: Checks a signature.

    Returns:
        The roster. Overlaps with earlier ones remain to be checked; see `hanse.privacy.secagg.cells`.

    Raises:
        TrustError: It is refused; names the member whose READY is not as it has to be.
    """
    bodies = _one_each(statements, members)
    for name, statement in bodies.items():
        _check_signature(name, statement, verify)
    read = {name: read_ready(statement.body) for name, statement in bodies.items()}
    for name, body in read.items():
        _check_pin(name, body.signer, own, pins)
    _check_distinct(read)
    for name, body in read.items():
        check_public(body.public, name)
    for name, body in read.items():
        _check_alike(name, body, own)
    if canonical_json(bodies[own.site].body) != canonical_json(own.model_dump()):
        raise TrustError(f"the roster has another READY of {own.site} than the one that this site sent last")
    for name, body in read.items():
        if first and first.get(name) != body.commitment:
            raise TrustError(
                f"{name} commits to other numbers than in the first roster of exchange {own.exchange}",
                mend=f"Was the folder of {name} restored or copied? It cannot take part in this exchange.",
            )
    return Roster(rho_of(list(read.values())), read)


def _one_each(statements: Sequence[SignedStatement], members: Sequence[str]) -> dict[str, SignedStatement]:
    """Statements by the site that they name, not verified yet."""
    found: dict[str, SignedStatement] = {}
    for statement in statements:
        name = statement.body.get("site")
        if not isinstance(name, str) or name not in members:
            raise TrustError(
                f"the roster has a READY of {str(name)[:80]!r}, which is not a member of the cell"
            )
        if name in found:
            raise TrustError(f"the roster has two READYs of {name}")
        found[name] = statement
    if missing := sorted(set(members) - found.keys()):
        raise TrustError(f"the roster has no READY of {', '.join(missing)}")
    return found


def _check_signature(name: str, statement: SignedStatement, verify: Verify) -> None:
    try:
        fingerprint = verify(statement)
    except TrustError as error:
        raise TrustError(f"the READY of {name}: {error.message}", mend=error.mend) from error
    if statement.body.get("signer") != fingerprint:
        raise TrustError(f"the READY of {name} names another signing key than the one that signed it")


def _check_pin(name: str, signer: str, own: ReadyBody, pins: Pins) -> None:
    expected = [pins.seen[name]] if name in pins.seen else []
    if name in pins.checked:
        if len(pins.checked[name]) < _LEAST_PIN:
            raise TrustError(f"the fingerprint of {name} in `peers` is shorter than 12 words")
        expected.append(pins.checked[name])
    if name == own.site:
        expected = [own.signer]
    for pin in expected:
        if not signer.startswith(pin):
            raise TrustError(
                f"the READY of {name} is signed with key {signer[:16]}; {name} is known here by {pin[:16]}",
                mend=f"Call {name}: a key changes only by rotation or a new enrolment, between plans.",
            )


def _check_distinct(bodies: Mapping[str, ReadyBody]) -> None:
    for what in ("signer", "public"):
        holders: dict[str, str] = {}
        for name, body in bodies.items():
            value = getattr(body, what)
            if value in holders:
                kind = "signing key" if what == "signer" else "public key"
                raise TrustError(f"{holders[value]} and {name} state one and the same {kind}")
            holders[value] = name


def _check_alike(name: str, body: ReadyBody, own: ReadyBody) -> None:
    for what in ("suite", "federation", "run_id", "exchange", "cell", "context", "attempt"):
        if getattr(body, what) != getattr(own, what):
            raise TrustError(
                f"the READY of {name} has another {what} than that of {own.site}",
                mend="The sites were not asked the same, or a READY of another exchange was put in.",
            )
