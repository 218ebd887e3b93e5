"""The run worker's side of its calls."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blobs import named

from hanse.aggregator.run_worker.process import RemoteHost, ServiceGoneError, ServiceLink
from hanse.aggregator.run_worker.protocol import Reply, StandingReply, SumReply
from hanse.core.plan.plan import Plan
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import Strict
from hanse.errors import QuorumError, TransportError
from hanse.wire.tensors import encode
from hanse.workflow.base import CommitRequest, Request

MODEL = {"w": np.ones(2, np.float32)}
PLAN = Plan.model_validate(
    {
        "name": "demo",
        "code": ["heart.py"],
        "learner": "heart:learner",
        "tasks": {"train": {"discloses": {"update": "individual"}}},
    }
)


class Service:
    """Answers a worker from a list, and keeps what it was sent; a channel."""

    def __init__(self, directory: Path) -> None:
        self.inbox, self.outbox = directory / "in", directory / "out"
        for folder in (self.inbox, self.outbox):
            folder.mkdir()
        self.sent: list[dict[str, Any]] = []
        self.replies: deque[dict[str, Any]] = deque()
        self.host = RemoteHost(ServiceLink(self, self.inbox), PLAN, self.inbox, self.outbox)  # type: ignore[arg-type]

    def will(self, reply: Strict) -> None:
        self.replies.append(Reply(ok=reply.model_dump(mode="json")).model_dump(mode="json"))

    def stands(self, committed: int = 0) -> None:
        """It will tell where the run stands, with `MODEL`."""
        (self.inbox / "model.safetensors").write_bytes(encode(MODEL))
        self.will(
            StandingReply(
                committed=committed,
                ref=ModelRef(named(encode(MODEL))),
                model="model.safetensors",
                state=None,
                complete=False,
                population=("a",),
            )
        )

    def sums(self) -> None:
        """It will sum what comes of `MODEL`."""
        digest = named(encode(MODEL))
        self.will(SumReply(num_examples=1, metrics={}, file=None, updated=False, sites=("a",), model=digest))

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(json.loads(json.dumps(message)))

    def receive(self) -> dict[str, Any] | None:
        return self.replies.popleft() if self.replies else None


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_the_model_that_was_lent_is_named_and_not_written_again(service: Service) -> None:
    service.stands()
    service.sums()
    model = service.host.standing().model

    service.host.sum(Request(1, 0, "train", model))

    assert service.sent[1]["model"] == {"ref": named(encode(MODEL)), "file": None}
    assert list(service.outbox.iterdir()) == []


def test_a_model_of_the_workflow_is_written(service: Service) -> None:
    service.sums()

    service.host.sum(Request(1, 0, "train", MODEL))

    name = service.sent[0]["model"]["file"]
    assert (service.outbox / name).read_bytes() == encode(MODEL)


def test_a_model_that_was_given_before_is_named_by_its_digest(service: Service) -> None:
    service.sums()
    service.stands(committed=1)
    service.host.sum(Request(1, 0, "train", MODEL))

    service.host.commit(CommitRequest(1, {"w": MODEL["w"].copy()}, {}, {}))

    assert service.sent[1]["model"] == {"ref": named(encode(MODEL)), "file": None}
    assert len(list(service.outbox.iterdir())) == 1


def test_a_model_that_was_changed_in_place_is_given_anew(service: Service) -> None:
    service.sums()
    service.stands(committed=1)
    model = {"w": np.ones(2, np.float32)}
    service.host.sum(Request(1, 0, "train", model))
    model["w"] += 1

    service.host.commit(CommitRequest(1, model, {}, {}))

    assert service.sent[1]["model"]["file"] is not None


def test_a_model_is_given_again_in_the_next_round(service: Service) -> None:
    service.stands()
    service.host.standing()
    service.sums()
    service.host.sum(Request(1, 0, "train", MODEL))
    service.stands(committed=1)
    service.host.commit(CommitRequest(1, MODEL, {}, {}))
    service.sums()

    service.host.sum(Request(2, 0, "train", MODEL))

    assert service.sent[-1]["model"]["file"] is not None


def test_what_is_lent_cannot_be_written_to(service: Service) -> None:
    service.stands()
    model = service.host.standing().model

    assert model is not None
    with pytest.raises(TypeError):
        model["w"] = np.zeros(2)  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        model["w"][0] = 0


def test_an_error_of_the_service_is_raised_as_it_is(service: Service) -> None:
    service.replies.append(Reply(error="quorum", message="too few", mend="Wait.").model_dump(mode="json"))

    with pytest.raises(QuorumError, match=r"too few\. Wait\."):
        service.host.standing()


def test_a_long_answer_is_read_from_its_file(service: Service) -> None:
    service.sums()
    (service.inbox / "message.json").write_text(json.dumps(service.replies.popleft()))
    service.replies.append({"file": "message.json"})

    assert service.host.sum(Request(1, 0, "train", MODEL)).sites == ("a",)


def test_a_service_that_has_gone_ends_the_worker(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceGoneError):
        service.host.standing()

    def gone(_message: object) -> None:
        raise TransportError("the other end has gone")

    monkeypatch.setattr(service, "send", gone)
    with pytest.raises(ServiceGoneError):
        service.host.standing()
