"""Submission of a plan and export of a run, resumed where a connection breaks."""

from __future__ import annotations

from pathlib import Path

from hanse.config.load import LoadedPlan
from hanse.control.client import ControlClient
from hanse.errors import PlanError, TransportError
from hanse.files.errors import file_errors
from hanse.wire.messages.runs import RunStatus

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


async def export_run(client: ControlClient, run_id: str, folder: Path) -> dict[str, Path]:
    """Write what is left of a run into a folder; the path of each file by what it is."""
    status = await client.run(run_id)
    with file_errors(f"make the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    files = {"journal": folder / "journal.jsonl", "plan": folder / "plan.json"}
    await client.export(run_id, files["journal"])
    await client.download(status.plan_digest, files["plan"])
    for name, model in (("model", status.model), ("best", status.best_model)):
        if model is not None:
            files[name] = folder / f"{name}.safetensors"
            await client.download(model.digest, files[name])
    return files
