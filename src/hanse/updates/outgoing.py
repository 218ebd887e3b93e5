"""Updates on their way out of a site: the plan's list of steps from a task's result to what travels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hanse.compression.update import UpdateCodec, upload_codec
from hanse.core.plan.disclosure import check_result, check_tensors
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.values.update import ReportedMetrics
from hanse.errors import DisclosureError
from hanse.updates.drafts import Draft
from hanse.updates.origin import Origin
from hanse.updates.residuals import Residuals


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """What a task gives to be sent.

    Attributes:
        num_examples: Examples that the task worked on.
        metrics: Numbers by name; None for one that is not defined.
        update: The update, which steps rewrite; None for none.
    """

    num_examples: int
    metrics: ReportedMetrics
    update: Draft | None


class Step(Protocol):
    """One step from a task's result to what travels."""

    def apply(self, outgoing: Outgoing, origin: Origin, residuals: Residuals) -> None:
        """Check a result, or rewrite its update.

        Args:
            outgoing: The result, as the steps before left it.
            origin: Where it comes from.
            residuals: What earlier updates of the site left out; what this one leaves out is noted there.

        Raises:
            DisclosureError: The result is not what the plan declares.
            UpdateError: The update is unusable.
            StorageError: A file cannot be read or written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """Refuse whatever is not exactly what the plan declares."""

    def apply(self, outgoing: Outgoing, origin: Origin, residuals: Residuals) -> None:
        """See `Step`."""
        what = str(origin)
        check_result(outgoing, origin.plan, origin.task, what)
        if outgoing.update is not None:
            check_tensors(outgoing.update.tensors(), origin.received, origin.plan, origin.task, what)


@dataclass(frozen=True, slots=True)
class Compress:
    """Replace an update by what a codec makes of it."""

    codec: UpdateCodec

    def apply(self, outgoing: Outgoing, origin: Origin, residuals: Residuals) -> None:
        """See `Step`."""
        draft, codec = outgoing.update, self.codec
        if draft is None:
            return
        before = residuals.before(origin.task) if codec.error_feedback else None
        with draft.shelf() as encoded, draft.shelf() as left:
            for tensor in codec.encode(draft.tensors(), origin.seed, before):
                encoded.add(tensor.name, tensor.data)
                if tensor.left_out is not None:
                    left.add(tensor.name, tensor.left_out)
            if codec.error_feedback:
                residuals.note(origin.task, origin.exchange, left.tensors())
            draft.rewrite(encoded.tensors())


def steps_of(plan: Plan, task: str) -> tuple[Step, ...]:
    """The steps of a task's results, in order: only what was checked is rewritten."""
    codec = upload_codec(plan, task)
    return (Check(),) if codec is None else (Check(), Compress(codec))


def release(outgoing: Outgoing, origin: Origin, residuals: Residuals) -> None:
    """Take a result through the plan's steps; what its update consists of then is what travels.

    The same for agent and simulator, and so the same bits.

    Raises:
        DisclosureError: By the plan the result is masked (`hanse.updates.secure_sums`), so that it must not
            leave as it is.
        HanseError: As `Step.apply`; nothing may leave then.
    """
    if masks(origin.plan, origin.task):
        raise DisclosureError(f"{origin}: by the plan, nothing of it leaves unmasked")
    for step in steps_of(origin.plan, origin.task):
        step.apply(outgoing, origin, residuals)
