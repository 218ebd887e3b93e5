"""Model, groups and settings of a task: fetched, and checked against the plan before it is performed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hanse.collaborator.context import SiteContext
from hanse.collaborator.progress import Progress
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.sealed.runs import SEALED_SLACK, SealedRun
from hanse.core.plan.asked_inputs import problem_of_ask
from hanse.core.plan.group_tensors import Received, problem_of_received, received_bytes
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.core.values.groups import foreign_tensor
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import TensorSpec
from hanse.core.values.wording import named
from hanse.errors import PolicyError, ProtocolError, StorageError, UpdateError
from hanse.sealing.header import Purpose
from hanse.sealing.run_files import FOR_SITES
from hanse.updates.model_delta import patch_model
from hanse.wire.messages.sites import Assignment
from hanse.wire.tensors import read_specs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskInputs:
    """Fetches the model and the groups of a task to where its worker can read them.

    Attributes:
        context: The site.
        folder: The run's.
        assignment: What the run asks.
        progress: Is shown what to look at for signs of life.
        what: Which task it is, for messages.
        facts: The same, for structured logs.
        sealed: Opens what was fetched, in a sealed run.
    """

    context: SiteContext
    folder: RunFolder
    assignment: Assignment
    progress: Progress
    what: str
    facts: Mapping[str, Any]
    sealed: SealedRun | None = None

    async def groups(self, plan: Plan, model: Path | None) -> tuple[Path, ...]:
        """The groups that the task receives, where the worker can read them, as the plan declares them."""
        if not self.assignment.groups:  # that they are those of the plan was checked before
            return ()
        places = []
        for name, file in sorted(self.assignment.groups.items()):
            most = received_bytes(plan, name, self.assignment.model_bytes)
            if self.sealed is not None:
                most += SEALED_SLACK + most // SEALED_SLACK
            if file.size > most:
                raise PolicyError(
                    f"{self.what}: the group {name!r} has {file.size:,} bytes, and by the plan at most "
                    f"{most:,}"
                )
            place = self.folder.model(ModelRef(file.digest))
            self.context.check_room(file.size)
            if not place.exists():
                self.progress.sign = partial(
                    self.context.blobs.partial_size, file.digest, self.context.identity.site
                )
                await self.context.take(
                    file.digest, file.size, self._show(ModelRef(file.digest), file.key, "group")
                )
            await asyncio.to_thread(check_group_file, name, place)
            places.append(place)
        sent = received(model, places)
        if problem := problem_of_received(plan, self.assignment.task, sent):
            raise PolicyError(f"{self.what}: {problem}")
        return tuple(places)

    async def model(self) -> Path | None:
        """The parameters to start from, where the worker can read them."""
        model, size, here = self.assignment.model, self.assignment.model_bytes, self.context
        if model is None or self.assignment.task == INITIALISE:
            return None
        place = self.folder.model(model)
        # The update may become as large as the model.
        here.check_room(size if place.exists() else 2 * size)
        if not place.exists():
            self.progress.sign = partial(here.blobs.partial_size, model.digest, here.identity.site)
            if not await self._by_delta(model):
                await here.take(model.digest, size, self._show(model, self.assignment.key, *FOR_SITES))
        return place

    def _show(self, model: ModelRef, key: WrappedKey | None, *purposes: Purpose) -> Callable[[Path], None]:
        """A function that lets the worker read a blob; in a sealed run it is opened for that."""
        if self.sealed is None:
            return partial(self.folder.show, model)
        sealed = self.sealed

        def opened(blob: Path) -> None:
            sealed.open_input(blob, self.folder.model(model), model.digest, key, *purposes)

        return opened

    async def _by_delta(self, model: ModelRef) -> bool:
        """Make the model of the one before, where that is still here; whether that came off."""
        delta, folder = self.assignment.delta, self.folder
        if delta is None or self.sealed is not None or not folder.model(delta.base).exists():
            return False
        self.progress.sign = partial(
            self.context.blobs.partial_size, delta.digest, self.context.identity.site
        )
        try:
            base, place = folder.model(delta.base), folder.model(model)
            make = partial(patch_model, base, place=place, digest=model.digest)
            await self.context.take(delta.digest, delta.size, make)
        except (PolicyError, ProtocolError, StorageError, UpdateError) as error:
            logger.info("%s: the model is fetched whole: %s", self.what, error, extra=self.facts)
            return False
        told = "%s: the model was made of the one before and %d bytes instead of %d"
        logger.info(told, self.what, delta.size, self.assignment.model_bytes, extra=self.facts)
        return True


@dataclass(frozen=True, slots=True)
class FetchedInputs:
    """Inputs of a task, where its worker can read them.

    Attributes:
        model: The parameters; None for none.
        groups: A file for each group.
    """

    model: Path | None
    groups: tuple[Path, ...]

    def headers(self) -> Received:
        """Read the headers of both, on a thread."""
        return received(self.model, self.groups)


def received(model: Path | None, groups: Iterable[Path]) -> Received:
    """The headers of what the task receives."""
    tensors: dict[str, TensorSpec] = {}
    for place in groups:
        tensors |= read_specs(place)
    return Received(None if model is None else read_specs(model), tensors)


def check_inputs(plan: Plan, asked: Assignment, what: str, site: str) -> None:
    """Refuse another model, other groups, settings or cells than the plan says that this site is sent.

    Args:
        plan: The plan, which has the task.
        asked: What the run asks.
        what: Which task it is, for messages.
        site: This site.

    Raises:
        PolicyError: Says what the plan does not permit.
    """
    has_model = asked.model is not None
    if problem := problem_of_ask(plan, asked.task, asked.inputs, has_model=has_model):
        raise PolicyError(f"{what}: {problem}")
    own = next((cell for cell, sites in plan.cells.items() if site in sites), None)
    if plan.cells and own is None:
        raise PolicyError(f"{what}: this site is in no cell of the plan")
    if asked.cells is not None and own not in asked.cells:
        raise PolicyError(f"{what} is asked of the cells {named(list(asked.cells))}; this site is in {own}")


def check_group_file(name: str, place: Path) -> None:
    """Refuse a file that has other tensors than those of the group that it was sent as.

    Raises:
        PolicyError: Names the tensor.
    """
    if (tensor := foreign_tensor(name, read_specs(place))) is not None:
        raise PolicyError(f"the file of the group {name!r} has a tensor {tensor[:80]!a}")
