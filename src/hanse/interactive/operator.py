"""An operator's hold on a running federation, from Python: what `hanse run` does, by its code."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hanse.algorithms.result_tables import tables
from hanse.assembly.operator import administration, control_client, operator_directory
from hanse.assembly.plan_file import load_plan
from hanse.cli.watch.follow import must_be_finished
from hanse.cli.watch.journal import read_record, read_run
from hanse.config.load import LoadedPlan
from hanse.control.client import ControlClient
from hanse.control.submission import RunOptions, export_run, read_results, read_tables, submit_plan
from hanse.core.plan.policy import default_refusals
from hanse.core.values.groups import Group
from hanse.core.values.identity import Role, check_name
from hanse.core.values.wording import format_time
from hanse.errors import ConfigError, HanseError
from hanse.files.paths import given_path
from hanse.interactive.columns import result_table
from hanse.interactive.event_loop import iterate, wait_for
from hanse.interactive.progress import shown_progress
from hanse.interactive.rows import Rows
from hanse.wire.messages.members import Member
from hanse.wire.messages.runs import EventsReply, RunStatus
from hanse.wire.wording import HELD, submission_warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

logger = logging.getLogger(__name__)

RunOrName = RunStatus | str
"""A run as `Operator.submit` and `Operator.runs` give it, or its name."""


class Operator:
    """Submits plans to a federation, watches their runs and exports what came of them.

    Each call opens a connection of its own, with the operator's certificate. Calls wait for their answers,
    also inside of a running event loop, such as that of a notebook. A context manager; after its end no
    call is made.

    Args:
        folder: Of the federation, or of an operator who joined it.

    Raises:
        ConfigError: There is neither in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed = False
        try:
            operator_directory(folder)
        except ConfigError as error:
            raise ConfigError(
                error.message,
                mend="Give hanse.connect the folder that `hanse federation create` made, or that of an "
                "operator who joined with `hanse join`.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<operator of the federation in {self._folder}{', closed' if self._closed else ''}>"

    def close(self) -> None:
        """Refuse all further calls; runs continue."""
        self._closed = True

    def submit(
        self,
        plan: str | PathLike[str] | LoadedPlan,
        *,
        name: str | None = None,
        sites: Sequence[str] | None = None,
        wait_s: float = 60.0,
    ) -> RunStatus:
        """Submit a plan with its code; its run begins once enough sites have accepted it.

        What may hold it up, too few sites or sites that are not connected, is in the log, as warnings.

        Args:
            plan: The path of the plan, or a plan that was read.
            name: Name of the run; None for that of the plan with a number.
            sites: Ask these sites only; None for all, and those that join later.
            wait_s: Longest to try to reach the aggregator, seconds.

        Returns:
            The run as it stands.

        Raises:
            PlanError: Something is wrong with the plan or its code.
            ConfigError: It is a function, or a name is not valid.
            TransportError: The aggregator does not answer.
            RunError: A site that is to be asked is not enrolled, too few are, or the name is taken.
        """
        loaded = _loaded(plan)
        options = RunOptions(
            name=None if name is None else check_name(name),
            sites=None if sites is None else tuple(map(check_name, sites)),
            wait_s=wait_s,
        )
        status = self._ask(lambda client: submit_plan(client, loaded, options))
        for warning in (*default_refusals(loaded.manifest.plan), *submission_warnings(status)):
            logger.warning("%s", warning)
        return status

    def watch(self, run: RunOrName, *, progress: bool = True) -> RunStatus:
        """Wait until a run ends, also while the aggregator is away; Ctrl-C ends the waiting only.

        Args:
            run: The run, or its name.
            progress: Whether to show a bar, in notebooks and on terminals.

        Returns:
            The run as it stands at its end.

        Raises:
            RunError: It failed or was stopped; says why.
        """
        run_id, held = _name(run), False
        status: RunStatus | None = None
        with (
            closing(self._follow(run_id)) as replies,
            shown_progress(in_turn=False, wanted=progress) as shown,
        ):
            for reply in replies:
                for record in reply.records:
                    shown.take(read_record(record))
                status = reply.status
                if status.held and not held:
                    logger.warning("%s", HELD)
                held = status.held
        if status is None:
            raise AssertionError("the aggregator says at least once how a run stands")
        must_be_finished(status, f"operator.resume({run_id!r})")
        return status

    def status(self, run: RunOrName) -> RunStatus:
        """The state of a run, and the sites that it waits for.

        Args:
            run: The run, or its name.

        Raises:
            HanseError: There is no such run, or the aggregator does not answer.
        """
        return self._ask(lambda client: client.run(_name(run)))

    def stop(self, run: RunOrName, reason: str = "stopped by an operator") -> RunStatus:
        """End a run now, without waiting for any site; committed rounds stay, and it can be resumed.

        Args:
            run: The run, or its name.
            reason: A sentence for the journal, which all parties can read.

        Raises:
            HanseError: The run is over, there is no such run, or the aggregator does not answer.
        """
        return self._ask(lambda client: client.stop(_name(run), reason))

    def resume(self, run: RunOrName) -> RunStatus:
        """Resume a stopped or failed run where it stood.

        Args:
            run: The run, or its name.

        Raises:
            HanseError: The run is neither, there is no such run, or the aggregator does not answer.
        """
        return self._ask(lambda client: client.resume(_name(run)))

    def export(self, run: RunOrName, path: str | PathLike[str] | None = None) -> dict[str, Path]:
        """Write a run's journal, its plan, its last and best model and its results, as far as there are.

        Args:
            run: The run, or its name.
            path: Folder to write to; made where it is missing. None: a folder of the run's name, here.

        Returns:
            The files by what they are: `journal`, `plan`, `model`, `best` (`hanse.load(path)` reads the
            model), `result NAME` for each result (`.npz`, for `numpy.load`), `table NAME` (`.csv`).

        Raises:
            StorageError: A file cannot be written.
            HanseError: There is no such run, or the aggregator does not answer.
        """
        run_id = _name(run)
        folder = given_path(run_id if path is None else path, "path")
        return self._ask(lambda client: export_run(client, run_id, folder, tables)).files

    def results(self, run: RunOrName) -> dict[str, Group]:
        """The results of a run by name: arrays or dictionaries of arrays, the caller's own.

        Args:
            run: The run, or its name.

        Raises:
            HanseError: There is no such run, or the aggregator does not answer.
        """
        return self._ask(lambda client: read_results(client, _name(run)))

    def table(self, run: RunOrName, name: str) -> Any:
        """A table of a run's results; see `SimulatedRun.table`.

        Args:
            run: The run, or its name.
            name: Name of the table.

        Raises:
            ConfigError: There is no such table.
            HanseError: There is no such run, or the aggregator does not answer.
        """
        return result_table(self._ask(lambda client: read_tables(client, _name(run), tables)), name)

    def plot(
        self,
        run: RunOrName,
        what: str = "all",
        *,
        metric: str | None = None,
        file: str | PathLike[str] = "",
    ) -> Figure:
        """Draw a run from its journal; see `SimulatedRun.plot` for the arguments and errors.

        Args:
            run: The run, or its name.
            what: `curves`, `sites`, `results`, `examples` or `all`.
            metric: The metric of the small pictures; None for the loss, or the first that there is.
            file: Where to write it too, by the end of its name.
        """
        from hanse.interactive.pictures import show_in_notebooks
        from hanse.plots.figure import draw, write

        path = None if file is None or file == "" else given_path(file, "file")
        record = self._ask(lambda client: read_run(client, _name(run)))
        record.tables = self._ask(lambda client: read_tables(client, _name(run), tables))
        drawn = draw(record, what, metric)
        if path is not None:
            write(drawn, path)
        show_in_notebooks()
        return drawn

    def runs(self) -> Sequence[RunStatus]:
        """The runs, newest first; shown as a table.

        Raises:
            HanseError: The aggregator does not answer.
        """
        return Rows(self._ask(lambda client: client.runs()).runs, _RUN_COLUMNS)

    def sites(self) -> Sequence[Member]:
        """The sites that have joined and were not removed, in site order; shown as a table.

        Raises:
            HanseError: The aggregator does not answer.
        """
        found = self._checked(lambda: wait_for(lambda: _members(self._folder)))
        return Rows(sorted(filter(_is_site, found), key=lambda member: member.name), _SITE_COLUMNS)

    def _ask(self, what: Callable[[ControlClient], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with control_client(self._folder, on_retry=_log_retry) as client:
                return await what(client)

        return self._checked(lambda: wait_for(ask))

    def _follow(self, run_id: str) -> Generator[EventsReply]:
        async def follow() -> AsyncIterator[EventsReply]:
            async with control_client(self._folder, on_retry=_log_retry) as client:
                async for reply in client.follow(run_id):
                    yield reply

        return self._checked(lambda: iterate(follow))

    def _checked(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise ConfigError("this connection to a federation is closed", mend="Call hanse.connect again.")
        return call()


_RUN_COLUMNS: Mapping[str, Callable[[RunStatus], str]] = {
    "run": lambda run: run.run_id,
    "plan": lambda run: run.plan_name,
    "state": lambda run: run.phase,
    "round": lambda run: f"{run.rounds_committed}/{run.rounds}",
    "submitted": lambda run: format_time(run.submitted_ms),
    "by": lambda run: run.submitted_by,
}
_SITE_COLUMNS: Mapping[str, Callable[[Member], str]] = {
    "site": lambda site: site.name,
    "last seen": lambda site: format_time(site.seen_ms),
    "certificate ends": lambda site: format_time(site.not_after_ms),
    "signing key": lambda site: (site.signing_key or "none")[:16],
}


def _loaded(plan: Any) -> LoadedPlan:
    if isinstance(plan, LoadedPlan):
        return plan
    if isinstance(plan, str | PathLike):
        return load_plan(given_path(plan, "plan"))
    raise ConfigError(
        f"a {type(plan).__name__} is not a plan: sites run the code that a plan lists, and see it before",
        mend="Write a plan with its code (`hanse new` does), and give its path.",
    )


def _name(run: RunOrName) -> str:
    return run.run_id if isinstance(run, RunStatus) else run


async def _members(folder: Path) -> tuple[Member, ...]:
    async with administration(folder) as members:
        return tuple((await members.members()).members)


def _is_site(member: Member) -> bool:
    return member.role == Role.COLLABORATOR and not member.removed


def _log_retry(error: HanseError, _attempt: int, delay_s: float) -> None:
    logger.warning("%s; trying again in %.1f s", error.message, delay_s)
