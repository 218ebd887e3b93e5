"""Sites that answer an aggregator with masked vectors, as their agents would, in a few lines.

Their vectors are in memory only. What an agent writes down before anything leaves is not tested with these.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tests.blobs import named
from tests.federations import A_HEAD, FederationFixture, signed
from tests.masked_sums import masked, random_bytes, verify
from tests.parties import signing_key

from hanse.core.plan.group_tensors import NOTHING, Received
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import cell_of, colluders_of, members_of
from hanse.core.values.parameters import specs
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import READY
from hanse.errors import PolicyError, RunError, StorageError
from hanse.privacy.secagg.cells import EarlierRoster
from hanse.privacy.secagg.context import SumContext, commitment
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.roster import Pins
from hanse.privacy.secagg.site import SiteSum, SumPlan, begin, step
from hanse.privacy.secagg.site_steps import (
    Asked,
    Event,
    Fail,
    FetchRoster,
    Instruction,
    MaskWritten,
    RecordRoster,
    RosterCame,
    SendMasked,
    SendReady,
    WriteMasked,
)
from hanse.privacy.secagg.vector import Result, encode
from hanse.storage.base import BlobStore
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.vector_file import MASKED
from hanse.wire import tensors
from hanse.wire.messages.sites import (
    TASK_RESULT,
    Assignment,
    NextRequest,
    ResultReply,
    ResultRequest,
    RunWork,
    TaskOutcome,
    UpdateFile,
)
from hanse.wire.messages.sums import SumReadyRequest


@dataclass
class Part:
    """A site's part in one sum.

    Attributes:
        words: q.
        state: Of the protocol.
        sent: Files of masked vectors, by roster.
    """

    words: Words
    state: SiteSum
    sent: dict[str, bytes] = field(default_factory=dict)

    def vector(self, rho: str) -> Words:
        """The masked vector for a roster."""
        words: Words = tensors.decode(self.sent[rho])[MASKED]
        return words


Perform = Callable[[Assignment], Result]
"""What a task gives."""


class MaskingSite:
    """A site whose every step a test can take by itself.

    Attributes:
        result: What its task gives, in every exchange or in the one that is asked.
        forgets: Exchanges in which it loses its private key once, before it masks.
        rosters: All that it ever accepted, in any run.
        failed: Failures of its part in a sum.
        changes: Changes of the context, as at a site that was asked something else.
    """

    def __init__(self, fixture: FederationFixture, name: str, result: Result | Perform) -> None:
        self.name = name
        self.result = result
        self.changes: dict[str, Any] = {}
        self.forgets: set[int] = set()
        self.failed: list[Fail] = []
        self.rosters: list[EarlierRoster] = []
        self._fixture = fixture
        self._parts: dict[tuple[str, int], Part] = {}
        self._random = random_bytes(int(named(name.encode())[:12], 16))

    # ------------------------------------------------------------ steps

    async def work(self) -> RunWork:
        """The only run that wants something of the site."""
        (run,) = (await self._fixture.upstream(self.name).next(NextRequest(wait_s=0))).runs
        return run

    async def asked(self) -> Assignment:
        """The only task that the site is asked."""
        (asked,) = (await self.work()).assignments
        return asked

    def part(self, run: RunWork, asked: Assignment) -> Part:
        """The site's part in the sum of an exchange; its task is performed once."""
        key = run.run_id, asked.exchange
        if key not in self._parts:
            self._parts[key] = self._prepared(run, asked)
        return self._parts[key]

    async def present(self) -> Part:
        """The site's part in what it is asked now."""
        return self.part(await self.work(), await self.asked())

    def lose_key(self) -> None:
        """Forget the private keys, as in a restart; vectors and records are kept."""
        for part in self._parts.values():
            part.state = begin(part.state.plan, part.state.history)

    async def ready(self) -> SignedStatement:
        """Make the READY that the present attempt asks for; it is not sent."""
        run, asked = await self.work(), await self.asked()
        assert asked.secure_sum is not None
        (send,) = (
            made
            for made in self.take(run, asked, Asked(asked.secure_sum.attempt))
            if isinstance(made, SendReady)
        )
        return self.sign(send.body.model_dump())

    def sign(self, body: Mapping[str, Any]) -> SignedStatement:
        """Sign a READY."""
        return signed(self._fixture.credentials[self.name], READY, dict(body))

    async def send(self, statement: SignedStatement, run_id: str) -> None:
        """Send a READY."""
        upstream = self._fixture.upstream(self.name)
        await upstream.sum_ready(SumReadyRequest(run_id=run_id, statement=statement))

    async def masked(self) -> TaskOutcome:
        """Accept the roster, and mask for it; the outcome is not sent."""
        run, asked = await self.work(), await self.asked()
        made = await self.shown(await self.roster())
        (write,) = (instruction for instruction in made if isinstance(instruction, WriteMasked))
        return self.outcome(run, asked, self._write(run, asked, write))

    async def roster(self) -> tuple[SignedStatement, ...]:
        """Fetch the roster of the present attempt."""
        asked = (await self.asked()).secure_sum
        assert asked is not None
        assert asked.rho is not None
        return (await self._fixture.upstream(self.name).sum_roster(asked.rho)).ready

    async def shown(self, roster: tuple[SignedStatement, ...]) -> tuple[Instruction, ...]:
        """See a roster, whoever made it."""
        return self._see(await self.work(), await self.asked(), roster)

    async def hand_in(self, outcome: TaskOutcome) -> ResultReply:
        """Bring the vector of an outcome, and send it."""
        part = self._parts[outcome.run_id, outcome.exchange]
        assert outcome.secure_sum is not None
        self._fixture.bring(self.name, part.sent[outcome.secure_sum.rho])
        return await self.state(outcome)

    async def state(self, outcome: TaskOutcome) -> ResultReply:
        """Send an outcome, whatever it says."""
        statement = signed(self._fixture.credentials[self.name], TASK_RESULT, outcome.model_dump(mode="json"))
        return await self._fixture.upstream(self.name).result(ResultRequest(statement=statement))

    def take(self, run: RunWork, asked: Assignment, event: Event) -> tuple[Instruction, ...]:
        """Take one event of the protocol."""
        part = self.part(run, asked)
        part.state, made = step(part.state, event, randomness=self._random, verify=verify)
        return made

    def outcome(self, run: RunWork, asked: Assignment, send: SendMasked, **changes: Any) -> TaskOutcome:
        """What the site says of its masked vector."""
        data = self._parts[run.run_id, asked.exchange].sent[send.rho]
        assert asked.secure_sum is not None
        said: dict[str, Any] = {
            "counted": asked.accepted,
            "federation": "north",
            "site": self.name,
            "run_id": run.run_id,
            "plan_digest": run.plan_digest,
            "exchange": asked.exchange,
            "round_number": asked.round_number,
            "task": asked.task,
            "model": asked.model,
            "outcome": "done",
            "update": UpdateFile(digest=named(data), size=len(data)),
            "journal": A_HEAD,
            "roster": asked.roster,
            "secure_sum": SumPlace(cell=asked.secure_sum.cell, attempt=send.attempt, rho=send.rho),
            "groups": asked.inputs.groups,
            "settings": dict(asked.settings),
            "cells": asked.cells,
        }
        return TaskOutcome.model_validate(said | changes)

    # ----------------------------------------------------------- on its own

    async def serve(self) -> None:
        """Do what is asked until cancelled, through restarts of the service."""
        known = ""
        while True:
            try:
                request = NextRequest(known=known, wait_s=0.2)
                work = await self._fixture.upstream(self.name).next(request)
                for run in work.runs:
                    if run.review:
                        await self._fixture.answer(run.run_id, self.name)
                    for asked in run.assignments:
                        await self._see_to(run, asked)
                known = work.version
            except (RunError, PolicyError):  # something has changed meanwhile, or the runs are being read
                known = ""
                await asyncio.sleep(0.01)
            except StorageError:  # the service is being restarted
                await asyncio.sleep(0.02)

    async def _see_to(self, run: RunWork, asked: Assignment) -> None:
        assert asked.secure_sum is not None
        todo = [*self.take(run, asked, Asked(asked.secure_sum.attempt, asked.secure_sum.rho))]
        while todo:
            match todo.pop(0):
                case SendReady(body):
                    await self.send(self.sign(body.model_dump()), run.run_id)
                case FetchRoster() if asked.exchange in self.forgets:
                    self.forgets.remove(asked.exchange)
                    self.lose_key()
                case FetchRoster(rho):
                    try:
                        roster = await self._fixture.upstream(self.name).sum_roster(rho)
                    except RunError:
                        continue  # a further attempt has begun
                    todo += self._see(run, asked, roster.ready)
                case WriteMasked() as write:
                    todo.append(self._write(run, asked, write))
                case SendMasked() as send:
                    await self.hand_in(self.outcome(run, asked, send))
                case Fail() as fail:
                    self.failed.append(fail)
                case _:
                    pass

    def _see(
        self, run: RunWork, asked: Assignment, roster: tuple[SignedStatement, ...]
    ) -> tuple[Instruction, ...]:
        made = self.take(run, asked, RosterCame(roster, tuple(self.rosters)))
        for instruction in made:
            if isinstance(instruction, RecordRoster) and asked.secure_sum is not None:
                cell = asked.secure_sum.cell
                self.rosters.append(EarlierRoster(run.plan_digest, cell, instruction.signers))
        return made

    def _write(self, run: RunWork, asked: Assignment, write: WriteMasked) -> SendMasked:
        part = self.part(run, asked)
        part.sent[write.rho] = tensors.encode({MASKED: masked(part.words, write.keys)})
        written = MaskWritten(write.rho, named(part.sent[write.rho]), part.state.plan.commitment)
        (send,) = (made for made in self.take(run, asked, written) if isinstance(made, SendMasked))
        return send

    def _prepared(self, run: RunWork, asked: Assignment) -> Part:
        data = self._fixture.blobs.path(run.plan_digest).read_bytes()
        plan = Manifest.from_bytes(data, run.plan_digest).plan
        received = received_by(self._fixture.blobs, asked)
        layout = sum_layout(plan, asked.task, received)
        result = self.result if isinstance(self.result, Result) else self.result(asked)
        words = np.concatenate([np.ravel(piece) for piece in encode(layout, result, self._random)])
        cell = cell_of(plan, self.name)
        context = SumContext(**question(run, asked, plan, cell, layout.digest) | self.changes)
        keys = {site: signing_key(own).fingerprint for site, own in self._fixture.credentials.items()}
        state = SumPlan(
            federation="north",
            run_id=run.run_id,
            exchange=asked.exchange,
            cell=cell,
            members=members_of(plan, cell),
            site=self.name,
            signer=keys[self.name],
            context=context.digest,
            commitment=commitment(bytes(32), named(words.tobytes())),
            colluders=colluders_of(plan),
            pins=Pins({site: keys[site] for site in members_of(plan, cell) if site != self.name}),
        )
        return Part(words, begin(state))


def received_by(blobs: BlobStore, asked: Assignment) -> Received:
    """Headers of what a site receives."""
    if asked.model is None and not asked.groups:
        return NOTHING
    model = None if asked.model is None else specs(tensors.open_file(blobs.path(asked.model.digest)))
    found = {}
    for file in asked.groups.values():
        found |= specs(tensors.open_file(blobs.path(file.digest)))
    return Received(model, found)


def question(run: RunWork, asked: Assignment, plan: Plan, cell: str, layout: str) -> dict[str, Any]:
    """All that the context of a site's sum states."""
    return {
        "federation": "north",
        "run_id": run.run_id,
        "submitted_ms": run.submitted_ms,
        "plan_digest": run.plan_digest,
        "round_number": asked.round_number,
        "exchange": asked.exchange,
        "counted": asked.accepted,
        "task": asked.task,
        "model": None if asked.model is None else asked.model.digest,
        "groups": asked.inputs.groups,
        "settings": dict(asked.settings),
        "cells": asked.cells,
        "cell": cell,
        "members": members_of(plan, cell),
        "colluders": colluders_of(plan),
        "layout": layout,
    }


@asynccontextmanager
async def masking_sites(
    fixture: FederationFixture, result: Callable[[str], Result | Perform]
) -> AsyncIterator[dict[str, MaskingSite]]:
    """All sites of a federation, answering as long as the block lasts."""
    sites = {name: MaskingSite(fixture, name, result(name)) for name in sorted(fixture.credentials)}
    tasks = [asyncio.create_task(site.serve()) for site in sites.values()]
    try:
        yield sites
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        assert not failed, failed
