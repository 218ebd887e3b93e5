"""Where an update comes from, and what follows from that at both ends."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.compression.update import UpdateCodec, update_seed, upload_codec
from hanse.core.plan.disclosure import expected_tensors
from hanse.core.plan.group_tensors import NOTHING, Received
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import TensorSpec


@dataclass(frozen=True, slots=True)
class Origin:
    """The task, and the site, that an update comes from.

    Attributes:
        plan: The plan that all have agreed on.
        task: The task's name.
        site: The site's name.
        exchange: Number of the exchange within its run.
        received: The tensors of the model and of the groups that the task started from; none of either for
            the first model.
    """

    plan: Plan
    task: str
    site: str
    exchange: int
    received: Received = NOTHING

    def __str__(self) -> str:
        return f"task {self.task} at {self.site}"

    @property
    def codec(self) -> UpdateCodec | None:
        """Codec between an update and the bytes that travel; None where the update travels as it is."""
        return upload_codec(self.plan, self.task)

    @property
    def seed(self) -> int:
        """Seed of the update's compression."""
        return update_seed(self.plan.seed, self.site, self.exchange)

    @property
    def expected(self) -> dict[str, TensorSpec]:
        """The declared tensors, as they are before compression."""
        return expected_tensors(self.received, self.plan, self.task)
