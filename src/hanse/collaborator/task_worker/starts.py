"""Local state that the next task of a run may start from, in `runs/RUN/start.json` beside the state.

To start from a state deletes what later tasks left. So there are two at most: the one that the last task
started from, and the one that it left. The latter counts once a roster was accepted.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from hanse.core.journal.sum_history import SumHistory
from hanse.core.values.schema import Strict
from hanse.errors import PolicyError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.wire.messages.sites import Assignment, RunWork


class Start(Strict):
    """The last task that began.

    Attributes:
        exchange: Its exchange.
        counted: The exchange whose state it started from; 0 for none.
    """

    exchange: int = Field(ge=1)
    counted: int = Field(ge=0)


def note_start(path: Path, run: RunWork, asked: Assignment, sums: SumHistory) -> None:
    """Write down, durably and before a task begins, which state it starts from.

    Args:
        path: The file.
        run: The run.
        asked: The task, and the exchange whose state it is to start from.
        sums: Says of which exchanges a roster was accepted.

    Raises:
        PolicyError: The site does not have that state, or not any more.
        StorageError: The file cannot be read or written.
    """
    last, counted = _read(path), asked.accepted
    possible = {0} if last is None else {last.counted}
    if last is not None and last.exchange < asked.exchange:
        possible |= {last.exchange} if sums.accepted(run.run_id, run.plan_digest, last.exchange) else set()
    if counted not in possible:
        named = " or ".join(str(each) for each in sorted(possible))
        raise PolicyError(
            f"run {run.run_id}: {asked.task} is to start from the local state of exchange {counted}, and "
            f"this site has that of {named}",
            mend="The aggregator or this site was restored from a backup, or the aggregator lies. A new run "
            "begins with new state.",
        )
    write_file(path, Start(exchange=asked.exchange, counted=counted).model_dump_json().encode(), mode=0o600)


def _read(path: Path) -> Start | None:
    with file_errors(f"read {path}"):
        if not path.exists():
            return None
        try:
            return Start.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise PolicyError(
                f"{path} is damaged: this site cannot say which local state it has",
                mend="A new run begins with new state.",
            ) from error
