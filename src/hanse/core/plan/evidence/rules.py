"""Rules of a plan whose model is sealed, or whose parties show evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from hanse.core.plan.evidence.section import SEALED_SUFFIX, Attestation, Sealed
from hanse.core.plan.privacy.section import Privacy
from hanse.core.plan.transforms import Compression
from hanse.core.values.schema import PlacedError, Problem


class EvidenceParts(Protocol):
    """Parts of a plan that the rules look at."""

    @property
    def code(self) -> tuple[str, ...]:
        """Files of the plan's code."""
        ...

    @property
    def initial_model(self) -> str | None:
        """See the plan."""
        ...

    @property
    def first_model(self) -> str:
        """Where the first model comes from."""
        ...

    @property
    def personal(self) -> tuple[str, ...]:
        """Patterns of personal tensors."""
        ...

    @property
    def compression(self) -> Compression:
        """Compression of tensors."""
        ...

    @property
    def privacy(self) -> Privacy:
        """Protection of the sites."""
        ...

    @property
    def attestation(self) -> Attestation | None:
        """The section."""
        ...

    @property
    def sealed(self) -> Sealed | None:
        """The section."""
        ...


def check_evidence(plan: EvidenceParts) -> None:
    """Refuse a plan whose sections on evidence and sealing do not fit the rest of it.

    Raises:
        PlacedError: Names every problem.
    """
    problems = [*_not_listed(plan), *(_unfit(plan) if plan.sealed is not None else _unsealed(plan))]
    if problems:
        raise PlacedError(problems)


def _not_listed(plan: EvidenceParts) -> Iterator[Problem]:
    named: dict[tuple[str | int, ...], str | None] = {}
    if plan.attestation is not None:
        named["attestation", "aggregator"] = plan.attestation.aggregator
        named["attestation", "collaborators"] = plan.attestation.collaborators
    if plan.sealed is not None:
        named["sealed", "owner"] = plan.sealed.owner
    for place, file in named.items():
        if file is not None and file not in plan.code:
            yield Problem(place, f"`{file}` must be listed under `code`, so that the plan's digest covers it")


def _unsealed(plan: EvidenceParts) -> Iterator[Problem]:
    if (plan.initial_model or "").endswith(SEALED_SUFFIX):
        yield Problem(("initial_model",), "a sealed model needs `sealed: {owner: owner.json}`")


def _unfit(plan: EvidenceParts) -> Iterator[Problem]:
    if plan.attestation is None or plan.attestation.collaborators is None:
        yield Problem(
            ("sealed",),
            "a sealed model goes to sites that show evidence: write `attestation: {collaborators: FILE}`",
        )
    if plan.first_model == "file" and not (plan.initial_model or "").endswith(SEALED_SUFFIX):
        yield Problem(
            ("initial_model",),
            f"the model of a sealed run is a file that `hanse seal` wrote, named *{SEALED_SUFFIX}",
        )
    if plan.compression.download:
        yield Problem(("compression", "download"), "a sealed model travels whole: leave `download` out")
    if plan.compression.error_feedback:
        yield Problem(
            ("compression", "upload"),
            "what compression leaves out would be kept at the sites: take `error_feedback: false`",
        )
    if plan.personal:
        yield Problem(("personal",), "they are kept on disk, where a sealed run keeps nothing")
    if plan.privacy.secure_aggregation is not None:
        yield Problem(
            ("privacy", "secure_aggregation"),
            "a sealed run has no masked sums yet; the aggregator's instance alone opens updates",
        )
