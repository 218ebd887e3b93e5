"""Checks of masked sums, for decisions and the fold alike: before a READY or a masked vector counts."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import ExchangeOpened
from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.canonical import canonical_json
from hanse.core.values.statements import Statement
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import MOST_ATTEMPTS, ReadyBody, read_ready
from hanse.errors import AttemptError, LateResultError, RunError, TamperedError, TrustError


def cell_standing(exchange: Exchange, site: str, cell: str) -> CellStanding:
    """Where the cell of a member stands.

    Raises:
        RunError: The exchange has no masked sums, or the site is not a member of the cell.
    """
    if not exchange.sums:
        raise RunError(f"exchange {exchange.number}, {exchange.task}, has no masked sum")
    if exchange.cell_by_site.get(site) != cell:
        raise RunError(f"{site[:80]} is not a member of the cell {cell[:80]} in exchange {exchange.number}")
    return exchange.sums[cell]


def is_repetition(standing: CellStanding, site: str, body: Mapping[str, object]) -> bool:
    """Check if a READY is, word for word, the one that is here."""
    here = standing.ready.get(site)
    return here is not None and canonical_json(here.body) == canonical_json(dict(body))


def check_ready(
    run_id: str, exchange: Exchange, standing: CellStanding, site: str, attempt: int, body: ReadyBody
) -> None:
    """Refuse a READY that cannot be taken now; a repetition is none of those.

    Args:
        run_id: The run.
        exchange: The exchange.
        standing: The site's cell.
        site: The member.
        attempt: Number of its attempt, as it is stated beside the READY.
        body: Of the READY.

    Raises:
        LateResultError: The exchange or the cell is over, or the member has failed.
        AttemptError: The attempt is over, or has another READY of the member.
        TrustError: It is of something else, or not the member's own numbers and keys.
    """
    about = {
        "run_id": run_id,
        "exchange": exchange.number,
        "cell": standing.cell,
        "attempt": attempt,
        "site": site,
    }
    for what, value in about.items():
        if getattr(body, what) != value:
            raise TrustError(f"the READY of {site} states another {what} than the one it is of")
    if exchange.closed is not None or standing.over:
        raise LateResultError(f"the cell {standing.cell} of exchange {exchange.number} is over")
    if exchange.members[site].state is MemberState.FAILED:
        raise LateResultError(f"{site} is no longer asked in exchange {exchange.number}")
    known = standing.commitments.get(site, body.commitment)
    if known != body.commitment:
        raise TrustError(
            f"{site} commits to other numbers than before in exchange {exchange.number}",
            mend="Was its folder restored or copied? The site cannot take part in this exchange any more.",
        )
    if attempt < standing.attempt or (attempt == standing.attempt and site in standing.ready):
        free = standing.attempt + (site in standing.ready)
        raise AttemptError(
            f"attempt {attempt} of {site} is over, or has another READY of it",
            mend=f"The next number is {free}." if free <= MOST_ATTEMPTS else "No attempt is left.",
        )
    if attempt > MOST_ATTEMPTS:
        raise AttemptError(f"{site} states attempt {attempt}; an exchange has {MOST_ATTEMPTS} at most")
    if attempt == standing.attempt:
        _check_own_keys(standing, site, body)


def _check_own_keys(standing: CellStanding, site: str, body: ReadyBody) -> None:
    for name, statement in standing.ready.items():
        for what in ("public", "signer"):
            if statement.body[what] == getattr(body, what):
                raise TrustError(f"the READY of {site} states the {what} of {name}")
        if statement.body["context"] != body.context:
            raise TrustError(f"the READYs of {site} and {name} state another context")


def check_masked(exchange: Exchange, site: str, place: SumPlace | None, *, signed: bool) -> None:
    """Refuse a masked vector that is not for the roster of the present attempt.

    A simulation has no keys, masks nothing and signs nothing: its results count without READYs.

    Args:
        exchange: An exchange whose sums are masked.
        site: The member.
        place: What the outcome states.
        signed: Whether a site signed the outcome.

    Raises:
        LateResultError: The cell or the attempt is over, the member has failed, or READYs are missing.
        RunError: The outcome does not say to which roster the vector belongs.
    """
    standing = exchange.standing_of(site)
    if standing.left_out or exchange.members[site].state is MemberState.FAILED:
        raise LateResultError(
            f"the cell {standing.cell} of exchange {exchange.number} is over"
            if standing.left_out
            else f"{site} is no longer asked in exchange {exchange.number}"
        )
    if place is None and not signed and exchange.roster is None:
        return
    if place is None:
        raise RunError(
            f"the result of {site} in exchange {exchange.number} does not say for which roster it is masked",
            mend="Upgrade Hanse at that site.",
        )
    now = (standing.cell, standing.attempt, standing.rho)
    if (place.cell, place.attempt, place.rho) != now:
        raise LateResultError(
            f"attempt {place.attempt} of the cell {standing.cell} in exchange {exchange.number} is over or "
            f"has another roster; attempt {standing.attempt} is under way"
        )


def place_of(statement: Statement | None) -> SumPlace | None:
    """The place of a masked vector that a signed outcome states; None where it states none.

    Raises:
        ValueError: It states something else.
    """
    stated = None if statement is None else statement.body.get("secure_sum")
    return None if stated is None else SumPlace.model_validate(stated)


def read_body(body: dict[str, object], site: str) -> ReadyBody:
    """The body of a READY in a journal.

    Raises:
        TamperedError: It is none.
    """
    try:
        return read_ready(body)
    except TrustError as error:
        raise TamperedError(f"the journal has a READY of {site[:80]!r} that is none: {error}") from error


def check_cells(plan: Plan, event: ExchangeOpened) -> None:
    """Refuse an exchange in a journal whose cells are not those of a masked task.

    Raises:
        TamperedError: A masked task has no cells, another has, or they do not divide those who are asked.
    """
    if not event.members and not masks(plan, event.task):
        return
    place = f"exchange {event.exchange}, {event.task},"
    if bool(event.members) != masks(plan, event.task):
        which = "is masked, and has no cells" if not event.members else "has cells, and is not masked"
        raise TamperedError(f"the journal: {place} {which}")
    asked = sorted(site for sites in event.members.values() for site in sites)
    if asked != sorted(event.cohort):
        raise TamperedError(f"the journal: the cells of {place} are not those who are asked")
    for cell, sites in event.members.items():
        if {*plan.cells.get(cell, ())} != {*sites}:
            raise TamperedError(
                f"the journal: {place} has a cell {cell[:80]!r} of other members than the plan"
            )
