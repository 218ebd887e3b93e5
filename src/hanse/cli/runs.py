"""What the commands that deal with runs do at the aggregator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hanse.cli.live import View
from hanse.cli.output import warn
from hanse.config.load import LoadedPlan
from hanse.control.client import ControlClient
from hanse.core.events import read_event
from hanse.errors import HanseError, PlanError, ProtocolError, RunError, TransportError
from hanse.wire.files import file_errors
from hanse.wire.messages_runs import JournalRecord, RunStatus

SILENCE_S = 3.0
"""How long nothing may have been told until it is said who is waited for."""


def warn_of_retry(error: HanseError, _attempt: int, delay_s: float) -> None:
    """Say that the aggregator is away, and that it is waited for."""
    warn(f"{error.message}; trying again in {delay_s:.1f} s")


_TIMES = 3
"""How often a plan is brought that the aggregator then has not whole."""


async def submit_plan(client: ControlClient, loaded: LoadedPlan) -> RunStatus:
    """Bring a plan with its files to the aggregator, and begin a run of it."""
    for left in reversed(range(_TIMES)):
        await _bring(client, loaded)
        try:
            return await client.submit(loaded.digest)
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


async def _bring(client: ControlClient, loaded: LoadedPlan) -> None:
    manifest = loaded.manifest
    initial = () if manifest.initial_model is None else (manifest.initial_model,)
    for file in (*manifest.files, *initial):
        await client.upload(file.sha256, loaded.files[file.path])
    await client.upload(loaded.digest, manifest.to_bytes())


async def follow(client: ControlClient, run_id: str, view: View) -> RunStatus:
    """Show a run until it ends, also while the aggregator is away; the run as it then stands."""
    with view:
        reminding = asyncio.create_task(_remind(view))
        try:
            async for reply in client.follow(run_id):
                for record in reply.records:
                    _show(view, record)
                status = reply.status
                view.status(status)
        finally:
            reminding.cancel()
    return status


def must_be_finished(status: RunStatus) -> None:
    """Tell a run that ended otherwise as an error.

    Raises:
        RunError: It failed or was stopped; says why.
    """
    if status.phase != "finished":
        how = "was stopped" if status.phase == "stopped" else status.phase
        raise RunError(
            f"run {status.run_id} {how}: {status.reason}",
            mend=f"`hanse run resume {status.run_id}` takes it up where it stood.",
        )


async def _remind(view: View) -> None:
    while True:
        await asyncio.sleep(SILENCE_S)
        view.remind()


def _show(view: View, record: JournalRecord) -> None:
    try:
        view.event(read_event(record.kind, record.body))
    except ValueError as error:
        raise ProtocolError(
            f"the aggregator tells of {record.kind}, which this version does not know",
            mend="Install the aggregator's version of Hanse.",
        ) from error


async def export_run(client: ControlClient, run_id: str, folder: Path) -> dict[str, Path]:
    """Write what is left of a run into a folder; the path of each file by what it is."""
    status = await client.run(run_id)
    with file_errors(f"make the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    files = {"journal": folder / "journal.jsonl", "plan": folder / "plan.json"}
    await client.export(run_id, files["journal"])
    await client.download(status.plan_digest, files["plan"])
    for name, digest in (("model", status.model), ("best", status.best_model)):
        if digest is not None:
            files[name] = folder / f"{name}.safetensors"
            await client.download(digest, files[name])
    return files
