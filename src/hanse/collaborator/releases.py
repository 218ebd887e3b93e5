"""Releases of a site as its journal records them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from hanse.collaborator.plan_store import StoredAnswer
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import (
    MOST_TENSORS,
    FailureReleased,
    PlanAnswerReleased,
    ReleasedTensor,
    ReleasedUpdate,
    ResultReleased,
)
from hanse.core.values.wording import format_time
from hanse.wire.messages.sites import RunWork, TaskOutcome, UpdateFile
from hanse.wire.tensors import read_specs

_TASK = {
    *("run_id", "plan_digest", "exchange", "round_number", "task", "model", "roster"),
    *("groups", "settings", "cells"),
}


def release_of(
    outcome: TaskOutcome, run: RunWork, update: Path, *, of_data: bool = False
) -> ResultReleased | FailureReleased:
    """The record of an outcome that is about to leave.

    Args:
        outcome: The outcome.
        run: The run that asked.
        update: The file of its update, if it has one.
        of_data: Whether a failure of a masked task may have its reason in the data.

    Raises:
        StorageError: The update cannot be read.
    """
    about = outcome.model_dump(include=_TASK) | {"submitted_ms": run.submitted_ms}
    if outcome.outcome == "failed":
        return FailureReleased(**about, reason=outcome.reason, log_tail=outcome.log_tail, of_data=of_data)
    released = None if outcome.update is None else _released(outcome.update, update)
    return ResultReleased(
        **about,
        num_examples=outcome.num_examples,
        metrics=outcome.metrics,
        update=released,
        secure_sum=outcome.secure_sum,
    )


def answer_release(run_id: str, submitted_ms: int | None, answer: StoredAnswer) -> PlanAnswerReleased:
    """The record of an answer to a run's plan that is about to leave."""
    told = answer.body
    return PlanAnswerReleased(
        run_id=run_id,
        submitted_ms=submitted_ms,
        plan_digest=told.plan_digest,
        accepted=told.accepted,
        reasons=told.reasons,
        by=answer.by,
        signer=told.signer,
    )


def other_run(history: SiteHistory, run_id: str, submitted_ms: int | None) -> str:
    """Distinguish a run from an earlier one of the same name, to whose plan this site has answered.

    Args:
        history: Of the site's journal.
        run_id: The run.
        submitted_ms: When it was submitted, as the aggregator says; None where that is not known.

    Returns:
        In words, that it is another run; empty where it is the same, or the name is new here.
    """
    known = history.submitted_ms.get(run_id)
    if known is None or submitted_ms is None or known == submitted_ms:
        return ""
    return (
        f"run {run_id}, submitted on {format_time(submitted_ms)}, is not the run of this name, submitted on "
        f"{format_time(known)}, to which this site has answered: the aggregator was restored from a backup, "
        "or set up again; submit the plan again, if need be under another name"
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
