"""Decisions about a stream, which asks each site as soon as it is free."""

from __future__ import annotations

from hanse.core.plan.asked_inputs import within_cells
from hanse.core.run.events import Events
from hanse.core.run.evolve import evolve
from hanse.core.run.hosting import check_streamed
from hanse.core.run.requests.commands import OpenStream
from hanse.core.run.requests.limits import check_request, too_often, used_up
from hanse.core.run.round_events import ExchangeOpened
from hanse.core.run.run import Run, must_run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.suspension import active_sites, reinstatements
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.wording import named
from hanse.errors import QuorumError, WorkflowError


def open_stream(run: Run, command: OpenStream, now_ms: int) -> Events:
    """Ask every free site of a stream, with the last committed model."""
    must_run(run)
    if command.task not in run.plan.tasks:
        known = ", ".join(run.plan.tasks)
        raise WorkflowError(f"the workflow streams a task {command.task!r}; the plan's tasks are: {known}")
    check_request(run, command.task, run.committed + 1, individually=True)
    check_streamed(run.plan, command.task)
    back = reinstatements(run, run.committed + 1, now_ms, stream=True)
    for event in back:
        run = evolve(run, event, now_ms)
    pending = [e for e in run.stream() if e.number not in command.taken]
    # A site is busy while it works, and until the workflow has been given what it sent.
    # One that failed rests until the next commit, so that it cannot fail in a tight circle.
    busy = {site for e in pending for site in e.members}
    busy |= {site for e in run.stream() for site in e.failed}
    free = within_cells(run.plan, (site for site in active_sites(run) if site not in busy), None)
    earlier = {s: e for e in run.earlier if e.index < 0 and e.task == command.task for s in e.members}
    may = [site for site in free if site in earlier or not used_up(run, command.task, site)]
    if not may and all(e.closed is not None and not e.num_answered for e in pending):
        if free:
            raise too_often(run, command.task, f"{named(free)} once more for {command.task!r} of its stream")
        why = "; ".join(f"{s}: {e.members[s].reason}" for e in pending for s in e.members)
        return (RunFailed(error=QuorumError.code, reason=f"no site of the stream answers any more: {why}"),)
    # What a site was asked before the run was resumed, and no answer came, it is asked under its number.
    again = (
        _streamed(run, site, before.number, before.round_number, before.task, before.model)
        for site, before in ((site, earlier[site]) for site in may if site in earlier)
    )
    opened = (
        _streamed(run, site, run.last_exchange + 1 + place, run.committed + 1, command.task, command.model)
        for place, site in enumerate(site for site in may if site not in earlier)
    )
    return (*back, *again, *opened)


def _streamed(
    run: Run, site: str, exchange: int, round_number: int, task: str, model: ModelRef | None
) -> ExchangeOpened:
    return ExchangeOpened(
        exchange=exchange,
        round_number=round_number,
        index=-1,
        task=task,
        model=model,
        cohort=(site,),
        needed=0,
        roster=run.stated_roster,
    )
