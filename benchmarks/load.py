"""The load process: many collaborators in one process, for benchmarks of one real aggregator.

    python benchmarks/load.py --url https://127.0.0.1:8443 --identities FOLDER --sites 200 --scratch FOLDER

Each of them holds its own key, certificate and connections, and speaks the
real protocol through the classes that a collaborator's agent uses: long
polls, signed answers and outcomes, models fetched and updates delivered as
blobs. Only the worker is missing: an update is zeros of the model's shape but
for its last number, so that each has a digest of its own and takes no disk.

Tells on its standard output what happened, a JSON object a line, and works
until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import struct
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from hanse.core.journal.site_records import JournalHead
from hanse.core.values.digests import Hasher
from hanse.errors import HanseError
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state
from hanse.pki.tls import client_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.upstream import HttpsUpstream
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    Assignment,
    NextRequest,
    PlanAnswer,
    ProgressRequest,
    ResultRequest,
    RunWork,
    TaskOutcome,
    UpdateFile,
)

AT_ONCE = 50
"""Handshakes under way at a time."""
LONGEST = 1 << 40


def tell(what: str, **facts: Any) -> None:
    """One line for whoever started this process."""
    print(json.dumps({"what": what, "at": time.time(), **facts}), flush=True)


@dataclass
class Times:
    """When each of the sites got as far as something."""

    what: str
    sites: int
    seen: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, exchange: int) -> None:
        times = self.seen[exchange]
        times.append(time.time())
        if len(times) == self.sites:
            tell(self.what, exchange=exchange, first=min(times), last=max(times), times=sorted(times))
            del self.seen[exchange]


@dataclass(frozen=True)
class Common:
    """What the sites of this process share."""

    url: str
    scratch: Path
    asked: Times
    answered: Times


class Site:
    """One collaborator."""

    def __init__(self, common: Common, number: int, credentials: Credentials) -> None:
        self._common = common
        self._number = number
        self._credentials = credentials
        self._key = SigningKey.load(credentials.directory)
        self._upstream = HttpsUpstream(common.url, client_context(credentials), proxy=None)
        self._folder = common.scratch / credentials.party.name
        self._blobs = FileBlobStore(self._folder)
        self._begun: set[tuple[str, int]] = set()

    async def connect(self) -> None:
        await self._upstream.hello()

    async def close(self) -> None:
        await self._upstream.close()

    async def serve(self) -> None:
        """Do what is asked, until cancelled."""
        known = ""
        async with asyncio.TaskGroup() as tasks:
            while True:
                work = await self._upstream.next(NextRequest(known=known, wait_s=30.0))
                for run in work.runs:
                    if run.review and (run.run_id, 0) not in self._begun:
                        self._begun.add((run.run_id, 0))
                        await self._agree(run)
                    for asked in run.assignments:
                        if (run.run_id, asked.exchange) not in self._begun:
                            self._begun.add((run.run_id, asked.exchange))
                            self._common.asked.note(asked.exchange)
                            tasks.create_task(self._settle(run, asked))
                known = work.version

    async def _agree(self, run: RunWork) -> None:
        party = self._credentials.party
        answer = PlanAnswer(
            federation=party.federation,
            site=party.name,
            plan_digest=run.plan_digest,
            accepted=True,
            decided_ms=int(time.time() * 1000),
            signer=self._key.fingerprint,
        )
        statement = state(self._key, PLAN_ANSWER, answer)
        await self._upstream.answer(AnswerRequest(run_id=run.run_id, statement=statement))

    async def _settle(self, run: RunWork, asked: Assignment) -> None:
        party = self._credentials.party
        await self._upstream.progress(ProgressRequest(run_id=run.run_id, exchange=asked.exchange))
        model = await self._fetch(asked)
        update = self._folder / f"{asked.exchange}.safetensors"
        said = write_update(model, update, asked.exchange * 10_000 + self._number + 1)
        if asked.model is not None:
            self._blobs.delete(asked.model.digest)
        outcome = TaskOutcome(
            federation=party.federation,
            site=party.name,
            run_id=run.run_id,
            plan_digest=run.plan_digest,
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            model=asked.model,
            outcome="done",
            num_examples=1,
            update=said,
            journal=JournalHead(generation=0, sequence=asked.exchange, digest="0" * 64),
            roster=asked.roster,
        )
        statement = state(self._key, TASK_RESULT, outcome)
        await self._upstream.deliver(said.digest, update)
        await self._upstream.result(ResultRequest(statement=statement))
        update.unlink()
        self._common.answered.note(asked.exchange)

    async def _fetch(self, asked: Assignment) -> Path:
        if asked.model is None:
            raise SystemExit("the load process makes no first model: give the plan an `initial_model`")
        return await self._upstream.fetch(
            asked.model.digest, self._blobs, owner=self._credentials.party.name, max_bytes=LONGEST
        )


_hashed: dict[tuple[bytes, int], Hasher] = {}
"""Digest of all but the last four bytes of an update, by header and size."""


def write_update(model: Path, place: Path, number: int) -> UpdateFile:
    """An update for a float32 model: zeros and, as the last element, `number`; a sparse file."""
    size = model.stat().st_size
    with model.open("rb") as file:
        header = file.read(8)
        header += file.read(int.from_bytes(header, "little"))
    if (header, size) not in _hashed:
        begun = Hasher("blake3")
        begun.update(header)
        for rest in range(size - len(header) - 4, 0, -(1 << 20)):
            begun.update(bytes(min(rest, 1 << 20)))
        _hashed[header, size] = begun
    end = struct.pack("<f", number)
    whole = _hashed[header, size].copy()
    whole.update(end)
    with place.open("wb") as file:
        file.write(header)
        file.truncate(size - len(end))
        file.seek(size - len(end))
        file.write(end)
    return UpdateFile(digest=whole.digest(), size=size)


async def work(options: argparse.Namespace) -> None:
    common = Common(
        options.url, options.scratch, Times("asked", options.sites), Times("answered", options.sites)
    )
    folders = sorted(options.identities.iterdir())[options.skip : options.skip + options.sites]
    now = datetime.now(UTC)
    sites = [Site(common, number, Credentials.load(folder, now)) for number, folder in enumerate(folders)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(site: Site) -> None:
        async with gate:
            await site.connect()

    began = time.time()
    await asyncio.gather(*(connect(site) for site in sites))
    tell("connected", sites=len(sites), seconds=time.time() - began)
    serving = [asyncio.create_task(site.serve()) for site in sites]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([*serving, ended], return_when=asyncio.FIRST_COMPLETED)
    for task in serving:
        if task.done():
            tell("error", error=_words(task.exception()))
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    for site in sites:
        with suppress(HanseError):
            await site.close()


def _words(error: BaseException | None) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--identities", type=Path, required=True, help="a folder with one folder a site")
    parser.add_argument("--sites", type=int, required=True)
    parser.add_argument("--skip", type=int, default=0, help="identities that are left to others")
    parser.add_argument("--scratch", type=Path, required=True)
    options = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(work(options))
    os._exit(0)  # the thread that reads the standard input may wait for ever


if __name__ == "__main__":
    main()
