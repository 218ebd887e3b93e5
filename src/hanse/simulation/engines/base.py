"""The promises of every engine: tasks of virtual sites, performed, checked, compressed and expanded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import ReportedMetrics
from hanse.errors import DisclosureError, HanseError, TaskError, UpdateError

SITE_FAILURES = (TaskError, DisclosureError, UpdateError)
"""Errors by which a site fails its task; any other one ends the run."""


@dataclass(frozen=True, slots=True)
class SiteAsk:
    """A task asked of one virtual site.

    Attributes:
        site: The site's name.
        exchange: Number of the exchange within its run, counted from 1.
        round_number: Round that the exchange belongs to; 0 for the first model.
        task: Name of a task of the plan, or `INITIALISE`.
        model: The parameters to start from; None for `INITIALISE` only.
        accepted: The site's last exchange whose result was accepted, 0 for none: the task starts from the
            local state that it left, and what was left out then is what the next update makes up for.
        inputs: What the site receives beside the model.
        context: Digest of the context of the site's cell, where its result is masked; empty otherwise.
    """

    site: str
    exchange: int
    round_number: int
    task: str
    model: ModelRef | None
    accepted: int = 0
    inputs: AskInputs = NOTHING_BESIDE
    context: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """A site's result as the aggregator would have it, checked and opened.

    Attributes:
        num_examples: Examples that the task worked on; 0 where the result is masked.
        metrics: Numbers by name; None for one that is not defined. None where the result is masked.
        update: The tensors that the update stands for, which may be computed where they are read
            (`hanse.core.values.lazy.LazyTensor`); they hold until the next answer is taken. None for
            no update. Where the result is masked, its words, to which no mask was added.
        digest: Digest of the file that would have travelled; None for no update.
    """

    num_examples: int
    metrics: ReportedMetrics
    update: Parameters | None = None
    digest: str | None = None


class Engine(Protocol):
    """Performs tasks of virtual sites, whose code and state it owns.

    Cohorts, the fold, the journal and time are the host's. No bit of an answer depends on the engine.
    """

    def perform(
        self, asks: Iterable[SiteAsk], inputs: Mapping[str, Parameters]
    ) -> Iterator[Delivered | HanseError]:
        """Perform tasks.

        Args:
            asks: The tasks; each is taken when the engine is ready to begin it. Those of one call may
                start from different models.
            inputs: The models and groups that the asks name, by the digests of their files; read-only.

        Returns:
            One answer for each ask, in the order of the asks; a site's failure is one of `SITE_FAILURES`.
            To close the iterator cancels what has not been answered.

        Raises:
            HanseError: The engine itself failed; raised by the iterator.
        """
        ...

    def close(self) -> Mapping[str, TaskError]:
        """End the code at every site; by site, the failures in that."""
        ...
