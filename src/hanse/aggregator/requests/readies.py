"""READYs of members, checked before any of them counts, and the rosters that they make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from weakref import WeakValueDictionary

from hanse.aggregator.run.controller import RunController
from hanse.aggregator.sums.cells import cell_sum, cell_with
from hanse.aggregator.sums.layouts import SumLayouts
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.run import Phase, Run
from hanse.core.run.sums.commands import TakeReady
from hanse.core.values.peer import Peer
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY, ReadyBody, read_ready
from hanse.core.values.wording import in_phase
from hanse.errors import LateResultError, ProtocolError, RunError, TrustError
from hanse.pki.signing_key import verify_statement
from hanse.privacy.secagg.aggregator import RecordAttempt, take_ready
from hanse.wire.messages.basics import encode
from hanse.wire.messages.sums import SumRoster

_LONGEST_STATEMENT = 8_192
"""Bytes of a READY, which goes into the journal and to all members of its cell."""


class ReadyDesk:
    """Takes READYs, and gives the rosters of cells to their members; belongs to the event loop.

    Args:
        layouts: Compute what a READY has to state.
    """

    def __init__(self, layouts: SumLayouts) -> None:
        self._layouts = layouts
        self._locks: WeakValueDictionary[tuple[str, int, str], asyncio.Lock] = WeakValueDictionary()

    async def take(self, peer: Peer, controller: RunController, statement: SignedStatement) -> None:
        """Take a READY; durable when this returns, and a repetition changes nothing.

        Raises:
            TrustError: It is another site's, of another exchange, or commits to other numbers.
            AttemptError: Its attempt is over; names the next number.
            LateResultError: The cell is complete, left out or without a member that it needs.
            RunError: No masked sum asks the site.
            ProtocolError: It is too long.
        """
        length = len(encode(statement))
        if length > _LONGEST_STATEMENT:
            raise ProtocolError(
                f"the READY of {peer.party.name} has {length} bytes; at most {_LONGEST_STATEMENT} are taken"
            )
        body = read_ready(statement.body)
        if body.site != peer.party.name:
            raise TrustError(
                f"{peer.party.name} sent the READY of {body.site}", mend="A site can speak for itself only."
            )
        # One at a time: each is held against those before it.
        key = controller.run.run_id, body.exchange, body.cell
        async with self._locks.setdefault(key, asyncio.Lock()):
            command = await asyncio.to_thread(self._checked, controller.run, body, statement)
            if command is not None:
                await controller.execute(command)

    def roster(self, site: str, digest: str, runs: Iterable[Run]) -> SumRoster:
        """The READYs of the cell of a member, of the present attempt.

        Raises:
            RunError: No cell of the site has this roster now.
        """
        for run in runs:
            for exchange in run.exchanges.waiting_with(site) if run.phase is Phase.RUNNING else ():
                cell = cell_with(exchange, site)
                if cell is not None and exchange.is_asked(site) and cell.rho == digest:
                    return SumRoster(ready=tuple(cell.ready[member] for member in cell.members))
        raise RunError(
            f"no cell of {site} has the roster {digest[:12]}; a further attempt may have begun, or the sum "
            "ended"
        )

    def _checked(self, run: Run, body: ReadyBody, statement: SignedStatement) -> TakeReady | None:
        """The command that a READY comes to; None for a repetition."""
        if run.phase is not Phase.RUNNING:
            raise LateResultError(f"run {run.run_id} {in_phase(run.phase)}; no READY is taken")
        exchange = run.exchanges.get(body.exchange)
        if exchange is None and body.exchange <= run.last_exchange:
            raise LateResultError(f"exchange {body.exchange} of run {run.run_id} is over")
        cell = None if exchange is None else cell_with(exchange, body.site)
        if exchange is None or cell is None:
            raise RunError(f"no masked sum of run {run.run_id} asks {body.site} in exchange {body.exchange}")
        if exchange.members[body.site].state is MemberState.FAILED:
            raise LateResultError(f"{body.site} reported exchange {body.exchange} as failed before")
        context = self._layouts.context(run, exchange, cell)
        state = cell_sum(run, exchange, cell, self._layouts.federation, context)
        _, instructions = take_ready(state, statement, _verify)
        if not instructions:
            return None
        reasons = [made.reason for made in instructions if isinstance(made, RecordAttempt)]
        return TakeReady(
            exchange=exchange.number,
            site=body.site,
            cell=cell.cell,
            attempt=body.attempt,
            statement=statement,
            commitment=body.commitment,
            reason=reasons[0] if reasons else "",
        )


def _verify(statement: SignedStatement) -> str:
    return verify_statement(statement, READY)
