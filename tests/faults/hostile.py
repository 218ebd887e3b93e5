"""A site that is enrolled, and sends what it likes: it speaks for itself, without an agent."""

from __future__ import annotations

import asyncio
import http.client
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from tests.blobs import named
from tests.federations import A_HEAD
from tests.integration.deployment import PLAN, Deployment, Run, Site

from hanse.assembly.site import site_upstream
from hanse.config.layout import IDENTITY
from hanse.config.settings import load_site
from hanse.core.run.round_events import ExchangeOpened, UpdateAccepted
from hanse.core.values.parameters import Parameters
from hanse.core.values.statements import SignedStatement
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.pki.tls import client_context
from hanse.transport.client.upstream import HttpsUpstream
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    ResultReply,
    ResultRequest,
    UpdateFile,
)
from hanse.wire.protocol import PROTOCOL_HEADER, SPOKEN
from hanse.wire.tensors import encode

T = TypeVar("T")

GOOD = {"weight": np.ones(4, np.float32), "steps": np.ones((), np.int64)}
"""An update as the plan declares it."""
TRAIN_1 = 2
"""Number of the exchange in which the hostile site is asked."""


class Hostile:
    """Speaks in the name of a site, over connections of its own."""

    def __init__(self, site: Site) -> None:
        self.name = site.name
        self.settings = load_site(site.directory)
        self.credentials = Credentials.load(site.directory / IDENTITY, datetime.now(UTC))
        self.key = SigningKey.load(site.directory / IDENTITY)

    def ask(self, call: Callable[[HttpsUpstream], Awaitable[T]]) -> T:
        """Ask the aggregator something."""

        async def ask() -> T:
            upstream = site_upstream(self.settings, self.credentials)
            try:
                return await call(upstream)
            finally:
                await upstream.close()

        return asyncio.run(ask())

    def accept(self, run: Run) -> None:
        """Accept the plan of a run."""
        body = {
            "federation": "north",
            "site": self.name,
            "plan_digest": run.status.plan_digest,
            "accepted": True,
            "reasons": [],
            "decided_ms": 0,
            "signer": self.key.fingerprint,
        }
        request = AnswerRequest(run_id=run.run_id, statement=self.state(body, PLAN_ANSWER))
        self.ask(lambda upstream: upstream.answer(request))

    def outcome(self, run: Run, **changes: Any) -> dict[str, Any]:
        """What came of the first training, true as far as it is not changed."""
        opened = run.until(ExchangeOpened, exchange=TRAIN_1)
        told = {
            "federation": "north",
            "site": self.name,
            "run_id": run.run_id,
            "plan_digest": run.status.plan_digest,
            "exchange": TRAIN_1,
            "round_number": 1,
            "task": "train",
            "model": None if opened.model is None else opened.model.digest,
            "outcome": "done",
            "num_examples": 1,
            "metrics": {"loss": 0.5},
            "update": {"digest": f"{'0' * 64}-blake3", "size": 1},
            "reason": "",
            "log_tail": "",
            "journal": A_HEAD,
            "roster": opened.roster,
        }
        return told | changes

    def state(self, body: dict[str, Any], purpose: str = TASK_RESULT) -> SignedStatement:
        """Sign a statement."""
        return self.key.sign(purpose, body)

    def send(self, statement: SignedStatement) -> ResultReply:
        """Give a statement as a result."""
        return self.ask(lambda upstream: upstream.result(ResultRequest(statement=statement)))

    def bring(self, update: Parameters | bytes, digest: str = "") -> UpdateFile:
        """Upload an update, by its own digest or by another one."""
        data = update if isinstance(update, bytes) else encode(update)
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            self.ask(lambda upstream: upstream.deliver(digest or named(data), Path(file.name)))
        return UpdateFile(digest=named(data), size=len(data))

    def answer(self, run: Run, update: Parameters | bytes) -> ResultReply:
        """Upload an update, and give it as the result of the first training."""
        brought = self.bring(update).model_dump()
        return self.send(self.state(self.outcome(run, update=brought)))

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send any bytes; the status and the body of the reply."""
        with closing(self._connection()) as connection:
            connection.request("POST", path, body, headers={PROTOCOL_HEADER: str(SPOKEN.newest)})
            response = connection.getresponse()
            return response.status, response.read()

    def cut_off(self, data: bytes, length: int) -> None:
        """Hang up in the middle of an upload."""
        headers = {
            PROTOCOL_HEADER: str(SPOKEN.newest),
            "Content-Length": str(len(data)),
            "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}",
        }
        with closing(self._connection()) as connection:
            connection.putrequest("PUT", f"/v1/blobs/{named(data)}")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(data[:length])

    def _connection(self) -> http.client.HTTPSConnection:
        address, context = urlsplit(self.settings.aggregator), client_context(self.credentials)
        assert address.hostname is not None
        return http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=30)


def open_exchange(deployment: Deployment, hostile: Hostile, **changes: Any) -> Run:
    """A run of one training, in which only the hostile site has yet to answer."""
    tasks = {"train": PLAN["tasks"]["train"]}
    run = deployment.submit(rounds=1, tasks=tasks, **changes)
    hostile.accept(run)
    run.until(UpdateAccepted, exchange=TRAIN_1)
    return run
