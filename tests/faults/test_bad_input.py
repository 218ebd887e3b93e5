"""Whatever a site sends, it is refused in words and recorded, and the run goes on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blobs import named
from tests.faults.hostile import GOOD, TRAIN_1, Hostile, open_exchange
from tests.faults.invariants import until_none
from tests.integration.deployment import AGGREGATE, Deployment, Run, deployed, done

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.round_events import ExchangeClosed, ResultRefused, TaskFailed, UpdateAccepted
from hanse.errors import (
    DisclosureError,
    HanseError,
    LateResultError,
    PolicyError,
    ProtocolError,
    RunError,
    TrustError,
    UpdateError,
)
from hanse.storage.blobs_file import FileBlobStore
from hanse.wire.messages.basics import MAX_MESSAGE
from hanse.wire.messages.sites import PLAN_ANSWER
from hanse.wire.tensors import encode

NAN = np.full(4, np.nan, np.float32)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An honest site with an agent, and one whose name is in the tests' hands."""
    with deployed(tmp_path_factory.mktemp("federation"), "a") as deployment:
        deployment.join("mallory")
        yield deployment


@pytest.fixture(scope="module")
def mallory(federation: Deployment) -> Hostile:
    return Hostile(federation.sites["mallory"])


@pytest.fixture(scope="class")
def run(federation: Deployment, mallory: Hostile) -> Iterator[Run]:
    """A run that waits for mallory alone."""
    run = open_exchange(federation, mallory)
    yield run
    run.stop()


def refused(run: Run) -> ResultRefused:
    """The last that was recorded."""
    last = run.events[-1]
    assert isinstance(last, ResultRefused)
    return last


class TestUpdates:
    @pytest.mark.parametrize(
        ("update", "error", "words"),
        [
            (GOOD | {"weight": NAN}, UpdateError, "NaN or an infinity in tensor"),
            (GOOD | {"weight": np.full(4, np.inf, np.float32)}, UpdateError, "NaN or an infinity in tensor"),
            (GOOD | {"weight": np.ones(5, np.float32)}, DisclosureError, r"shape \(5,\), expected \(4,\)"),
            (GOOD | {"weight": np.ones(4)}, DisclosureError, "dtype float64, expected float32"),
            (GOOD | {"patients": np.ones(4)}, DisclosureError, "'patients' was not expected"),
            ({"weight": GOOD["weight"]}, DisclosureError, "'steps' is missing"),
            (encode(GOOD)[:-1], UpdateError, "truncated or too long: 23 bytes of data where 24 are due"),
            (pickle.dumps(GOOD), UpdateError, "no safetensors file"),
        ],
        ids=["nan", "infinity", "shape", "dtype", "extra", "missing", "truncated", "pickle"],
    )
    def test_is_refused(
        self, run: Run, mallory: Hostile, update: Any, error: type[HanseError], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            mallory.answer(run, update)

        assert (refused(run).site, refused(run).exchange, refused(run).error) == (
            "mallory",
            TRAIN_1,
            error.code,
        )


class TestOutcomes:
    @pytest.mark.parametrize(
        ("changes", "error", "words"),
        [
            (
                {"metrics": {"loss": 1.0, "patient_17": 71.0}},
                DisclosureError,
                "disclose the metric 'patient_17'",
            ),
            ({"num_examples": 10**13}, UpdateError, "reports 10000000000000 examples"),
            ({"update": None}, DisclosureError, "sent no update"),
            ({}, UpdateError, "is not here"),
            ({"round_number": 2}, ProtocolError, "answered train of round 2, but exchange 2"),
            ({"task": "evaluate"}, ProtocolError, "answered evaluate of round 1, but exchange 2"),
            ({"model": "0" * 64}, ProtocolError, "another run, plan, model or groups"),
            ({"plan_digest": "0" * 64}, ProtocolError, "another run, plan, model or groups"),
            (
                {"exchange": 1, "round_number": 0, "task": INITIALISE},
                LateResultError,
                "exchange 1 .* is over",
            ),
            ({"exchange": 99}, RunError, "has no exchange 99"),
            ({"site": "a"}, TrustError, r"of \S+/mallory speaks of \S+/a\. A site can speak"),
            ({"federation": "south"}, TrustError, "A site can speak for itself only"),
        ],
        ids=lambda value: next(iter(value), "never uploaded") if isinstance(value, dict) else "",
    )
    def test_is_refused(
        self, run: Run, mallory: Hostile, changes: dict[str, Any], error: type[HanseError], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            mallory.send(mallory.state(mallory.outcome(run, **changes)))

        assert (refused(run).site, refused(run).error) == ("mallory", error.code)

    def test_of_another_site_cannot_be_passed_off_as_ones_own(self, run: Run, mallory: Hostile) -> None:
        genuine = run.until(UpdateAccepted, exchange=TRAIN_1, site="a").statement
        assert genuine is not None

        with pytest.raises(TrustError, match=r"of \S+/mallory was signed with key \w+, and the party"):
            mallory.send(genuine)

        assert refused(run).site == "mallory"

    def test_that_was_altered_after_it_was_signed_is_refused(self, run: Run, mallory: Hostile) -> None:
        statement = mallory.state(mallory.outcome(run))
        altered = statement.model_copy(update={"body": statement.body | {"num_examples": 1_000_000}})

        with pytest.raises(TrustError, match="was altered"):
            mallory.send(altered)

        assert refused(run).error == TrustError.code

    def test_that_was_signed_as_something_else_is_refused(self, run: Run, mallory: Hostile) -> None:
        with pytest.raises(TrustError, match="did not sign it as such"):
            mallory.send(mallory.state(mallory.outcome(run), PLAN_ANSWER))

        assert refused(run).error == TrustError.code

    def test_of_a_run_that_there_is_not_is_refused(self, run: Run, mallory: Hostile) -> None:
        with pytest.raises(RunError, match="there is no run 'trial-99'"):
            mallory.send(mallory.state(mallory.outcome(run, run_id="trial-99")))

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (
                b'{"statement": {"body": {"num_examples": NaN}, "certificate": "", "signature": ""}}',
                "malformed",
            ),
            (b'{"statement"', "malformed ResultRequest"),
            (b" " * (MAX_MESSAGE + 1), "limit"),
        ],
        ids=["nan", "half", "endless"],
    )
    def test_that_is_no_message_is_refused(self, mallory: Hostile, body: bytes, words: str) -> None:
        status, reply = mallory.post("/v1/results", body)

        told = json.loads(reply)
        assert (status, told["error"]) == (400, ProtocolError.code)
        assert words in told["message"]


class TestTransfers:
    def test_upload_that_is_too_large_is_refused(self, run: Run, mallory: Hostile) -> None:
        with pytest.raises(PolicyError, match="mallory wants to upload 1000000 bytes; the limit is"):
            mallory.bring(bytes(1_000_000))

    def test_upload_under_another_hash_is_refused(
        self, run: Run, mallory: Hostile, federation: Deployment
    ) -> None:
        with pytest.raises(UpdateError, match="arrived with another content"):
            mallory.bring(GOOD, digest="1" * 64)

        assert not (federation.directory / "blobs" / "11" / ("1" * 64)).exists()

    def test_upload_that_was_cut_off_does_not_count_and_can_be_gone_on_with(
        self, run: Run, mallory: Hostile
    ) -> None:
        data = encode(GOOD)
        digest, size = named(data), len(data)
        mallory.cut_off(data, 50)

        with pytest.raises(UpdateError, match="is not here"):
            mallory.send(mallory.state(mallory.outcome(run, update={"digest": digest, "size": size})))

        mallory.bring(data)

    def test_update_of_another_site_is_not_given_away(
        self, run: Run, mallory: Hostile, tmp_path: Path
    ) -> None:
        update = run.until(UpdateAccepted, exchange=TRAIN_1, site="a").update
        blobs = FileBlobStore(tmp_path)

        with pytest.raises(PolicyError, match="is not for collaborator mallory"):
            mallory.ask(lambda upstream: upstream.fetch(update, blobs, owner="mallory", max_bytes=10**6))


def test_a_run_finishes_once_the_hostile_site_answers_properly(
    federation: Deployment, mallory: Hostile, tmp_path: Path
) -> None:
    run = open_exchange(federation, mallory)
    with pytest.raises(UpdateError):
        mallory.answer(run, GOOD | {"weight": NAN})

    first = mallory.answer(run, GOOD)
    statement = run.until(UpdateAccepted, site="mallory").statement
    assert statement is not None
    again = mallory.send(statement)  # whether its round is over by now or not

    assert (first.duplicate, again.duplicate) == (False, True)
    run.finished()
    assert [event.site for event in run.events if isinstance(event, UpdateAccepted)] == ["a", "a", "mallory"]
    run.export(tmp_path)


def test_a_run_finishes_without_a_site_that_sends_nothing_else(
    federation: Deployment, mallory: Hostile
) -> None:
    run = open_exchange(federation, mallory, cohort={"quorum": 0.5, "deadline": "5s"})
    with pytest.raises(UpdateError):
        mallory.answer(run, GOOD | {"weight": NAN})

    assert run.until(ExchangeClosed, exchange=TRAIN_1).missing == ("mallory",)
    run.finished()


def test_a_result_of_one_run_does_not_count_in_the_next(federation: Deployment, mallory: Hostile) -> None:
    before = open_exchange(federation, mallory)
    mallory.answer(before, GOOD)
    before.finished()
    replayed = before.until(UpdateAccepted, site="mallory").statement
    assert replayed is not None
    run = open_exchange(federation, mallory)

    assert mallory.send(replayed).duplicate

    assert [awaited.site for awaited in run.status.awaited] == ["mallory"]
    run.stop()


FAULTS = {
    "nan": "the update of task train at b has a NaN or an infinity in tensor 'weight'",
    "infinite metric": "task train at b reports loss = inf",
    "undeclared metric": "task train at b would disclose the metric 'patient_17'",
    "wrong shape": "shape (5,)",
    "more digits": "task train at b would disclose more than 6 significant digits of the metric 'loss'",
    "exception": "no such patient",
    "half a pair": r"RuntimeError: \ud800\x1b[2J",
    "death": "the worker exited with status 3 during task train",
}
"""What the plan's code does wrong, and what is said of it."""


@pytest.fixture(scope="module")
def careless(shared: Deployment) -> Run:
    """A run whose code goes wrong at the site `b`: by another fault in each round but the last."""
    run = shared.submit(
        code=["leaky.py"],
        learner="leaky:learner",
        options={"faults": [*FAULTS, "path", "fewer digits"]},
        rounds=len(FAULTS) + 2,
        cohort={"quorum": 0.5, "set_aside_after": 0},
        tasks={"train": {"discloses": AGGREGATE}},
    )
    run.finished()
    return run


def test_nothing_leaves_a_site_of_what_its_plan_code_should_not_send(
    careless: Run, shared: Deployment
) -> None:
    outcomes = shared.sites["b"].directory / "runs" / careless.run_id / "outcomes"

    accepted = [
        (event.exchange, event.site) for event in careless.events if isinstance(event, UpdateAccepted)
    ]

    until_none(lambda: list(outcomes.glob("*.safetensors")))
    last = len(FAULTS) + 3
    assert sorted(accepted) == [*((exchange, "a") for exchange in range(1, last + 1)), (last, "b")]


@pytest.mark.parametrize("fault", FAULTS)
def test_both_sides_are_told_what_plan_code_did_wrong(careless: Run, shared: Deployment, fault: str) -> None:
    round_number = list(FAULTS).index(fault) + 1

    failed = careless.until(TaskFailed, site="b", exchange=round_number + 1)

    assert FAULTS[fault] in failed.reason
    assert FAULTS[fault] in shared.agent("b").says(f"train of round {round_number} failed: ")
    told = done("run", "watch", careless.run_id, "-d", shared.directory)
    assert f"round {round_number}, train: b failed: {failed.reason}" in told


def test_a_path_in_what_plan_code_says_stays_at_the_site(careless: Run, shared: Deployment) -> None:
    failed = careless.until(TaskFailed, site="b", exchange=len(FAULTS) + 2)

    assert failed.reason.endswith("RuntimeError: <path> is not there")
    assert "/srv/patients/17.csv is not there" in shared.agent("b").says(
        f"train of round {len(FAULTS) + 1} failed: "
    )


def test_metrics_leave_with_six_digits(careless: Run, tmp_path: Path) -> None:
    (last,) = (
        event
        for event in careless.events
        if isinstance(event, UpdateAccepted) and event.exchange == len(FAULTS) + 3 and event.site == "b"
    )

    assert last.metrics == {"loss": 0.333333}
    journal = (careless.export(tmp_path) / "journal.jsonl").read_text()
    assert "0.3333333" not in journal
    assert "/srv/patients" not in journal
