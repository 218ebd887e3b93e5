"""Which blobs a party may have, and which it may bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hanse.aggregator.blobs.retention import plan_blobs
from hanse.aggregator.run.site_work import SizeOf, VectorBytes, assignments, concerns, max_update_bytes
from hanse.core.run.run import Run
from hanse.core.values.identity import Role
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.peer import Peer
from hanse.errors import PolicyError

MayWork = Callable[[Run, str], bool]
"""Says of a run and a site if the site may be asked tasks, by its evidence."""


def any_may_work(_run: Run, _site: str) -> bool:
    """For runs that ask for no evidence."""
    return True


def check_may_read(peer: Peer, digest: str, runs: Iterable[Run], may_work: MayWork = any_may_work) -> None:
    """Let a site have the plans it is asked about and the models of its tasks, an operator plans and models.

    Nobody may have a single site's update: those are for the aggregator alone.

    Args:
        peer: Who asks.
        digest: Of the blob.
        runs: All runs, those that are over too.
        may_work: Of a site that may not, no models are for it.

    Raises:
        PolicyError: The blob is not for this party.
    """
    party = peer.party
    if party.role is Role.OPERATOR:
        may = any(_operator_may(run, digest) for run in runs)
    else:
        may = any(_site_may(run, party.name, digest, may_work) for run in runs)
    if not may:
        raise PolicyError(f"blob {digest[:12]} is not for {party.role} {party.name}, or does not exist")


def upload_limit(
    peer: Peer,
    runs: Iterable[Run],
    size_of: SizeOf,
    max_blob: int,
    vector_bytes: VectorBytes | None = None,
    may_work: MayWork = any_may_work,
) -> int:
    """Largest blob that a party may bring now, in bytes.

    Args:
        peer: The party.
        runs: All runs.
        size_of: Size in bytes of a blob, by its digest.
        max_blob: Largest of an operator, and largest first model.
        vector_bytes: Needed where sums are masked.
        may_work: A site that may not uploads nothing.

    Raises:
        PolicyError: A site that no open task asks for an update.
    """
    party = peer.party
    if party.role is Role.OPERATOR:
        return max_blob
    limits = [
        max_update_bytes(run, exchange, size_of, max_blob, vector_bytes)
        for run in runs
        if may_work(run, party.name)
        for exchange in assignments(run, party.name)
    ]
    if not any(limits):
        raise PolicyError(
            f"no open task asks {party.name} for an update",
            mend="Its exchange closed, or discloses no update.",
        )
    return max(limits)


def _operator_may(run: Run, digest: str) -> bool:
    best = run.best.model if run.best else None
    results = run.results.values()
    return _names((run.model, best), digest) or digest in results or digest in plan_blobs(run)


def _site_may(run: Run, name: str, digest: str, may_work: MayWork) -> bool:
    if not concerns(run, name):
        return False
    if not may_work(run, name):  # the plan, which has to be read first, and no model
        initial = run.manifest.initial_model
        return digest in plan_blobs(run) - ({initial.sha256} if initial else set())
    asked = assignments(run, name)
    models = (exchange.model for exchange in asked)
    groups = (exchange.inputs.groups.values() for exchange in asked)
    return digest in plan_blobs(run) or _names(models, digest) or any(digest in given for given in groups)


def _names(models: Iterable[ModelRef | None], digest: str) -> bool:
    return any(model is not None and model.digest == digest for model in models)
