"""A blob that the disk damages never becomes part of a model: it is found, named, and can be put back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.faults import flip
from tests.integration.deployment import Deployment, Run, hanse

from hanse.core.run.round_events import ExchangeClosed, RoundCommitted, UpdateAccepted
from hanse.core.run.run_events import RunFailed

TRAIN_2 = 4
"""Number of an exchange."""


@pytest.fixture(scope="module")
def undisturbed(shared: Deployment) -> str:
    """The model of a run that nobody disturbs."""
    return shared.submit().finished()


def an_update(federation: Deployment) -> tuple[Run, str]:
    """An accepted update, before it is summed."""
    federation.sites["b"].hold("train", 2)
    run = federation.submit()
    accepted = run.until(UpdateAccepted, exchange=TRAIN_2, site="a")
    assert accepted.update is not None
    return run, accepted.update


def a_model(federation: Deployment) -> tuple[Run, str]:
    """The model of a round, which the run's next worker is to begin with."""
    federation.sites["b"].hold("train", 2)
    run = federation.submit()
    model = run.until(RoundCommitted, round_number=1).model.digest
    federation.sites["b"].held(run.run_id, "train", 2)
    federation.aggregator.worker().send(signal.SIGKILL)
    return run, model


def a_model_while_the_aggregator_is_away(federation: Deployment) -> tuple[Run, str]:
    federation.sites["b"].hold("train", 2)
    run = federation.submit()
    model = run.until(RoundCommitted, round_number=1).model.digest
    federation.aggregator.end(signal.SIGKILL)
    return run, model


@pytest.mark.parametrize("of", [an_update, a_model, a_model_while_the_aggregator_is_away])
def test_a_damaged_blob_ends_the_run_by_name_and_can_be_put_back(
    federation: Deployment,
    undisturbed: str,
    tmp_path: Path,
    of: Callable[[Deployment], tuple[Run, str]],
) -> None:
    run, digest = of(federation)
    blob = federation.directory / "blobs" / digest[:2] / digest
    flip(blob, blob.stat().st_size - 1)
    if not federation.aggregator.runs:
        federation.start_aggregator()

    federation.release()
    ended = hanse("run", "watch", run.run_id, "-d", federation.directory)

    failed = run.until(RunFailed)
    assert (failed.error, ended.code) == ("tampered", 5)
    assert f" blobs/{digest[:2]}/{digest} was altered" in f" {failed.reason}"
    assert str(federation.directory) not in failed.reason
    assert failed.reason in ended.err
    assert not any(isinstance(event, RoundCommitted) and event.round_number == 2 for event in run.events)
    flip(blob, blob.stat().st_size - 1)
    run.resume()
    assert run.finished() == undisturbed
    accepted = [(event.exchange, event.site) for event in run.events if isinstance(event, UpdateAccepted)]
    assert len(set(accepted)) == len(accepted)
    assert any(isinstance(event, ExchangeClosed) and event.exchange == TRAIN_2 for event in run.events)
    run.export(tmp_path)
