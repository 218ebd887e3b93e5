"""Submission of a plan and export of a run, resumed where a connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hanse.config.load import LoadedPlan
from hanse.control.client import ControlClient
from hanse.core.plan.evidence.section import SEALED_SUFFIX
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.groups import Group, nested
from hanse.errors import PlanError, SealError, TransportError, UpdateError
from hanse.files.errors import file_errors
from hanse.sealing.header import is_sealed
from hanse.wire.messages.runs import RunStatus, SubmitRequest
from hanse.wire.result_files import write_results
from hanse.wire.result_tables import TableMaker, Tables, tables_of_shapes
from hanse.wire.tensors import open_file

_TIMES = 3
"""How often a plan is brought that the aggregator then has not whole."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Wishes of an operator for a run, beside its plan.

    Attributes:
        name: Name of the run; None for the plan's with a number.
        sites: Sites to ask, and no others; None for all.
        wait_s: Longest to wait for an aggregator that does not answer, seconds.
    """

    name: str | None = None
    sites: tuple[str, ...] | None = None
    wait_s: float = 60.0


async def submit_plan(
    client: ControlClient, loaded: LoadedPlan, options: RunOptions = RunOptions()
) -> RunStatus:
    """Bring a plan with its files to the aggregator, and begin a run of it.

    Raises:
        TransportError: The aggregator does not answer.
        RunError: A site that is to be asked is not enrolled, too few are, or the name is taken.
    """
    request = SubmitRequest(plan_digest=loaded.digest, name=options.name, sites=options.sites)
    for left in reversed(range(_TIMES)):
        await _bring(client, loaded, options.wait_s)
        try:
            return await client.submit(request)
        except PlanError:
            # An aggregator that was started again meanwhile keeps nothing that no run needs,
            # so that what was brought before may be missing.
            if not left:
                raise
        except TransportError as error:
            # Not tried again: the first try may have begun a run, and a second would begin another.
            raise TransportError(
                f"{error.message}, before it was known whether the run began",
                mend="`hanse run list` shows it if it did; submit the plan again if not.",
            ) from error
    raise AssertionError("the last try returns or raises")


async def _bring(client: ControlClient, loaded: LoadedPlan, wait_s: float) -> None:
    manifest = loaded.manifest
    initial = () if manifest.initial_model is None else (manifest.initial_model,)
    files: list[tuple[str, Path | bytes]] = [
        (file.sha256, loaded.files[file.path]) for file in (*manifest.files, *initial)
    ]
    try:
        for digest, source in (*files, (loaded.digest, manifest.to_bytes())):
            await client.upload(digest, source, wait_s)
    except TransportError as error:
        raise TransportError(
            f"the plan was not submitted: {error.message}; given up after {wait_s:g} s",
            mend="Is the aggregator started? `hanse doctor` looks; `--wait 10m` waits longer.",
        ) from error


@dataclass(frozen=True, slots=True)
class Export:
    """Files that an export wrote.

    Attributes:
        files: Path of each file by what it is.
        status: The run as it stood.
    """

    files: dict[str, Path]
    status: RunStatus


@asynccontextmanager
async def downloaded_results(
    client: ControlClient, status: RunStatus, folder: Path
) -> AsyncIterator[dict[str, Group]]:
    """Download the results of a run.

    Args:
        client: The operator's.
        status: The run.
        folder: For the files, which are removed at the end of this block, as the results are then.

    Yields:
        The results by name, read-only; none once they are not kept any more.

    Raises:
        UpdateError: A file has another result than its name says.
        HanseError: The aggregator does not answer.
    """
    blobs: list[Path] = []
    try:
        results: dict[str, Group] = {}
        for name, digest in sorted({} if status.expired else status.results.items()):
            blobs.append(folder / f"{name}.result")
            await client.download(digest, blobs[-1])
            if is_sealed(blobs[-1]):
                raise SealError(
                    f"the results of run {status.run_id} are sealed to the owner of its model",
                    mend="Export the run; `hanse unseal FILE --key owner.key -o OUT` then opens each.",
                )
            found = nested(open_file(blobs[-1]))
            if set(found) != {name}:
                raise UpdateError(f"what came as the result {name!r} is another one")
            results |= found
        yield results
    finally:
        for blob in blobs:
            blob.unlink(missing_ok=True)


async def read_results(client: ControlClient, run_id: str) -> dict[str, Group]:
    """Download the results of a run: copies of the caller's own; none once they are not kept any more.

    Raises:
        UpdateError: A file has another result than its name says.
        HanseError: There is no such run, or the aggregator does not answer.
    """
    return await _copied_results(client, await client.run(run_id))


async def read_tables(client: ControlClient, run_id: str, tables: TableMaker) -> Tables:
    """Download the results of a run as tables; see `read_results`."""
    status = await client.run(run_id)
    results = await _copied_results(client, status)
    if not results:
        return {}
    with TemporaryDirectory(prefix="hanse-") as name:
        file = Path(name) / "plan.json"
        await client.download(status.plan_digest, file)
        return tables(_plan_of(file, status), results)


async def _copied_results(client: ControlClient, status: RunStatus) -> dict[str, Group]:
    with TemporaryDirectory(prefix="hanse-") as name:
        async with downloaded_results(client, status, Path(name)) as results:
            return {result: _copied(value) for result, value in results.items()}


async def _sealed(
    client: ControlClient, status: RunStatus, folder: Path, files: dict[str, Path]
) -> dict[str, Path]:
    """The files of a sealed run as they are: their owner opens them."""
    named = dict(files)
    for name in ("model", "best"):
        if name in files:
            named[name] = files[name].with_suffix(SEALED_SUFFIX)
            with file_errors(f"rename {files[name]}"):
                files[name].replace(named[name])
    results = {} if status.expired else dict(status.results)
    if results:
        with file_errors(f"make the folder {folder / 'results'}"):
            (folder / "results").mkdir(exist_ok=True)
    for name, digest in sorted(results.items()):
        named[f"results/{name}"] = folder / "results" / f"{name}{SEALED_SUFFIX}"
        await client.download(digest, named[f"results/{name}"])
    return named


def _is_sealed_run(files: Mapping[str, Path], status: RunStatus) -> bool:
    """Look at the models, and read the plan only for results: a run of a later version is exported too."""
    if any(is_sealed(files[name]) for name in ("model", "best") if name in files):
        return True
    return bool(status.results) and _plan_of(files["plan"], status).sealed is not None


def _plan_of(file: Path, status: RunStatus) -> Plan:
    return Manifest.from_bytes(file.read_bytes(), status.plan_digest).plan


def _copied(value: Group) -> Group:
    if isinstance(value, Mapping):
        return {name: np.array(array) for name, array in value.items()}
    return np.array(value)


async def export_run(
    client: ControlClient, run_id: str, folder: Path, tables: TableMaker = tables_of_shapes
) -> Export:
    """Write what is left of a run into a folder.

    Args:
        client: The operator's.
        run_id: Name of the run.
        folder: The folder; made where it is missing.
        tables: Makes the tables of its results.
    """
    status = await client.run(run_id)
    with file_errors(f"make the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    files = {"journal": folder / "journal.jsonl", "plan": folder / "plan.json"}
    await client.export(run_id, files["journal"])
    await client.download(status.plan_digest, files["plan"])
    for name, model in (("model", status.model), ("best", status.best_model)):
        if model is not None and not status.expired:
            files[name] = folder / f"{name}.safetensors"
            await client.download(model.digest, files[name])
    if await asyncio.to_thread(_is_sealed_run, files, status):
        return Export(await _sealed(client, status, folder, files), status)
    async with downloaded_results(client, status, folder) as results:
        if results:
            made = await asyncio.to_thread(tables, _plan_of(files["plan"], status), results)
            files |= await asyncio.to_thread(write_results, folder / "results", results, made)
    return Export(files, status)
