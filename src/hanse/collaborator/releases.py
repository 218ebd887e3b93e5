"""Releases of a site as its journal records them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from hanse.collaborator.plan_store import StoredAnswer
from hanse.core.journal.site_records import (
    MOST_TENSORS,
    FailureReleased,
    PlanAnswerReleased,
    ReleasedTensor,
    ReleasedUpdate,
    ResultReleased,
)
from hanse.wire.messages.sites import TaskOutcome, UpdateFile
from hanse.wire.tensors import read_specs

_TASK = {"run_id", "plan_digest", "exchange", "round_number", "task", "model", "roster"}


def release_of(outcome: TaskOutcome, update: Path) -> ResultReleased | FailureReleased:
    """The record of an outcome that is about to leave.

    Args:
        outcome: The outcome.
        update: The file of its update, if it has one.

    Raises:
        StorageError: The update cannot be read.
    """
    about = outcome.model_dump(include=_TASK)
    if outcome.outcome == "failed":
        return FailureReleased(**about, reason=outcome.reason, log_tail=outcome.log_tail)
    released = None if outcome.update is None else _released(outcome.update, update)
    return ResultReleased(
        **about, num_examples=outcome.num_examples, metrics=outcome.metrics, update=released
    )


def answer_release(run_id: str, answer: StoredAnswer) -> PlanAnswerReleased:
    """The record of an answer to a run's plan that is about to leave."""
    told = answer.body
    return PlanAnswerReleased(
        run_id=run_id,
        plan_digest=told.plan_digest,
        accepted=told.accepted,
        reasons=told.reasons,
        by=answer.by,
        signer=told.signer,
    )


def _released(update: UpdateFile, path: Path) -> ReleasedUpdate:
    specs = read_specs(path)
    listed = islice(specs.items(), MOST_TENSORS)
    return ReleasedUpdate(
        digest=update.digest,
        size=update.size,
        tensors=tuple(ReleasedTensor(name=name, dtype=spec.dtype, shape=spec.shape) for name, spec in listed),
        more_tensors=max(len(specs) - MOST_TENSORS, 0),
    )
