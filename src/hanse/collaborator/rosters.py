"""Rosters of runs as a site checks them: in each, its own signing key has to be the one that it holds."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from functools import partial
from pathlib import Path

from hanse.collaborator.context import SiteContext
from hanse.collaborator.identity import Identity
from hanse.collaborator.plan_store import PlanStore
from hanse.config.layout import PLANS
from hanse.core.values.roster import check_place
from hanse.errors import PolicyError, StorageError, TrustError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.pki.signing_key import SIGNING_KEY_FILE
from hanse.transport.base import Upstream
from hanse.wire.messages.sites import Assignment

FILE = "runs-of-0.1.json"
"""In the site's folder: runs that were under way when the site got its signing key, and may lack a roster."""
_MOST_REMEMBERED = 256


class Rosters:
    """Checks the roster of each exchange that asks the site; each roster once.

    Args:
        context: The site.
    """

    def __init__(self, context: SiteContext) -> None:
        self._here = context
        self._found: OrderedDict[str, None] = OrderedDict()

    def found(self, digest: str | None) -> bool:
        """Check if the site has found its own key in a roster."""
        return digest in self._found

    async def check(self, run_id: str, asked: Assignment) -> None:
        """Find the site's own key in the roster of an exchange.

        Raises:
            PolicyError: The exchange states no roster, or the roster has another key for the site, or none.
            RunError: The exchange is over.
        """
        here, digest = self._here, asked.roster
        if digest is None:
            if run_id not in runs_of_before(here.directory):
                raise PolicyError(
                    f"exchange {asked.exchange} of run {run_id} states no roster of signing keys",
                    mend="A run that was under way before 0.2 has a roster once all of its sites have "
                    "answered its plan again, or left.",
                )
            return
        if self.found(digest):
            return
        proof = await here.retry(partial(here.upstream.roster, digest))
        try:
            check_place(proof, digest, here.identity.site, here.identity.signing_key.fingerprint)
        except TrustError as error:
            raise PolicyError(
                f"exchange {asked.exchange} of run {run_id} is refused: {error.message}", mend=error.mend
            ) from error
        self._found[digest] = None
        if len(self._found) > _MOST_REMEMBERED:
            self._found.popitem(last=False)


async def settle_signing_key(directory: Path, identity: Identity, upstream: Upstream) -> None:
    """Use the site's signing key; in a folder of before 0.2, make it, and note the runs that are under way.

    Args:
        directory: The site's folder.
        identity: The site's.
        upstream: The aggregator.

    Raises:
        CredentialError: See `Identity.settle_signing_key`.
        StorageError: The folder cannot be read or written.
    """
    # First: what is under way when there is a key need not have been before there was one.
    await asyncio.to_thread(note_runs_of_before, directory, identity.credentials.directory)
    await identity.settle_signing_key(upstream)


def note_runs_of_before(directory: Path, identity: Path) -> None:
    """Note the runs that are under way when a folder of before 0.2 is about to get its signing key.

    Args:
        directory: The site's folder.
        identity: Folder with its credentials.

    Raises:
        StorageError: The folder cannot be read or written.
    """
    if (identity / SIGNING_KEY_FILE).exists() or (directory / FILE).exists():
        return
    plans = PlanStore(directory / PLANS)
    with file_errors(f"look through {directory}"):
        seen = [path.parent.name for path in (directory / PLANS).glob("*/runs.json")]
        begun = [path.name for path in (directory / "runs").glob("*") if path.is_dir()]
    _write(directory, {*begun, *(run for digest in seen for run in plans.runs(digest))})


def runs_of_before(directory: Path) -> frozenset[str]:
    """Runs that were under way when the site got its signing key, and are not over for it.

    Raises:
        StorageError: The file that says so cannot be read.
    """
    path = directory / FILE
    if not path.exists():
        return frozenset()
    try:
        with file_errors(f"read {path}"):
            found = json.loads(path.read_bytes())
        return frozenset(run for run in found if isinstance(run, str))
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged", mend="Delete it; runs of before 0.2 then wait for a roster."
        ) from error


def forget_run(directory: Path, run_id: str) -> None:
    """Note that a run is over for the site: it needs a roster if it asks the site again.

    Raises:
        StorageError: The folder cannot be written.
    """
    runs = runs_of_before(directory)
    if run_id in runs:
        _write(directory, runs - {run_id})


def _write(directory: Path, runs: set[str] | frozenset[str]) -> None:
    write_file(directory / FILE, json.dumps(sorted(runs)).encode(), mode=0o600)
