"""Which blobs a party may have, and which it may bring."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.aggregator.work import SizeOf, assignments, concerns, max_update_bytes
from hanse.core.identity import Party, Role
from hanse.core.run import Run
from hanse.errors import PolicyError


def check_may_read(party: Party, digest: str, runs: Iterable[Run]) -> None:
    """Let a site have the plans it is asked about and the models of its tasks, an operator plans and models.

    Nobody may have a single site's update: those are for the aggregator alone.

    Raises:
        PolicyError: The blob is not for this party.
    """
    for run in runs:
        if party.role is Role.COLLABORATOR and not concerns(run, party.name):
            continue
        if digest in _plan_blobs(run):
            return
        if party.role is Role.COLLABORATOR:
            if any(e.model == digest for e in assignments(run, party.name)):
                return
        elif digest == run.model or (run.best is not None and digest == run.best.model):
            return
    raise PolicyError(f"blob {digest[:12]} is not for {party.role} {party.name}, or does not exist")


def upload_limit(party: Party, runs: Iterable[Run], size_of: SizeOf, max_blob: int) -> int:
    """Largest blob that a party may bring now, in bytes.

    Raises:
        PolicyError: A site that no open task asks for an update.
    """
    if party.role is Role.OPERATOR:
        return max_blob
    limits = [
        max_update_bytes(run, exchange, size_of, max_blob)
        for run in runs
        for exchange in assignments(run, party.name)
    ]
    if not any(limits):
        raise PolicyError(
            f"no open task asks {party.name} for an update",
            mend="Its exchange closed, or discloses no update.",
        )
    return max(limits)


def _plan_blobs(run: Run) -> frozenset[str]:
    manifest = run.manifest
    initial = () if manifest.initial_model is None else (manifest.initial_model.sha256,)
    return frozenset({run.plan_digest, *(file.sha256 for file in manifest.files), *initial})
