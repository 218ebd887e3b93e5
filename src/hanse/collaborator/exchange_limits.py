"""The plan's limits on how often this site performs a task, held against the site's own journal."""

from __future__ import annotations

import logging

from hanse.collaborator.identity import Identity
from hanse.collaborator.own_statements import check_own
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.site_journal import SiteJournal
from hanse.core.journal.exchange_counts import AskedExchange
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import ReleaseRecovered
from hanse.core.plan.exchange_limits import limit_line, may_stream, most_in_round, most_in_run
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.ask_inputs import stated
from hanse.core.values.wording import counted
from hanse.errors import PolicyError, ProtocolError, TrustError
from hanse.wire.messages.sites import TaskOutcome, purpose_of_outcome

logger = logging.getLogger(__name__)

MOST_RESULTS = 3
"""Different results that may leave under the number of one exchange: the first, and two of recoveries."""


def check_limits(history: SiteHistory, plan: Plan, asked: AskedExchange) -> None:
    """Refuse to perform a task in more exchanges than the plan says.

    An exchange that was performed before may be performed again, as long as it asks the same: after a
    restart, and where a run is resumed.

    Args:
        history: Of the site's journal.
        plan: The plan of the run.
        asked: The task that is asked.

    Raises:
        PolicyError: The task was performed in as many exchanges as may be, or its exchange asked for
            something else before; names the line of the plan.
    """
    counts, task = history.exchanges, asked.task
    if counts.is_another(asked):
        raise PolicyError(
            f"exchange {asked.exchange} of run {asked.run_id} asked for another task, round, model or "
            f"groups before, and may not ask for {task!r} of round {asked.round_number}",
            mend="Where the federation was set up again, submit the plan under another name.",
        )
    most, rounds = most_in_round(plan, task), plan.rounds
    if task == INITIALISE:
        if counts.before_in_run(asked):
            raise PolicyError(f"run {asked.run_id} has asked for a first model before, and may do so once")
    elif not may_stream(plan, task) and counts.before_in_round(asked) >= most:
        raise PolicyError(
            f"{task!r} was asked in {counted(most, 'exchange')} of round {asked.round_number} of run "
            f"{asked.run_id} before, and the plan permits no more: {limit_line(task, most)}"
        )
    elif counts.before_in_run(asked) >= most_in_run(plan, task):
        raise PolicyError(
            f"{task!r} was asked in {counted(most * rounds, 'exchange')} of run {asked.run_id} before, and "
            f"the plan permits no more: `rounds: {rounds}` and {limit_line(task, most)}"
        )


def check_result(history: SiteHistory, asked: AskedExchange, content: str) -> None:
    """Refuse to disclose ever other results of one exchange, which could be averaged.

    An exchange may be performed again, where a result was lost or came too late. Code that depends on
    nothing but its inputs gives the same then, as often as that happens.

    Args:
        history: Of the site's journal.
        asked: The exchange.
        content: Digest of what the result would disclose.

    Raises:
        PolicyError: As many different results of the exchange have left as may.
    """
    if history.exchanges.other_results(asked, content) >= MOST_RESULTS:
        raise PolicyError(
            f"exchange {asked.exchange} of run {asked.run_id} was answered with {MOST_RESULTS} different "
            f"results before, and {asked.task!r} gave another one, which does not leave",
            mend="Have the plan's code take its randomness from what Hanse gives it, so that a task that is "
            "performed again gives the same.",
        )


def recover_releases(
    journal: SiteJournal, identity: Identity, folder: RunFolder, run_id: str, plan_digest: str
) -> None:
    """Record exchanges of a run that the journal lacks, and whose signed outcome the site has kept.

    The journal was damaged or restored from a backup then, or an agent of 0.1 was at work, which kept
    none. So no exchange is forgotten, and none is asked for once more under another number.

    Raises:
        StorageError: The journal cannot be written, or the outcomes cannot be read.
    """
    counts, of_before = journal.open().exchanges, 0
    for exchange in folder.kept_outcomes():
        if counts.has(run_id, plan_digest, exchange):
            continue
        outcome = _own_outcome(identity, folder, exchange)
        if outcome is None:
            continue
        if (outcome.run_id, outcome.plan_digest, outcome.exchange) != (run_id, plan_digest, exchange):
            continue
        journal.append(
            ReleaseRecovered(
                run_id=run_id,
                plan_digest=plan_digest,
                exchange=exchange,
                round_number=outcome.round_number,
                task=outcome.task,
                model=None if outcome.model is None else outcome.model.digest,
                outcome=outcome.outcome,
                **stated(outcome.inputs),
            )
        )
        if outcome.journal is None:
            of_before += 1
            continue
        logger.warning(
            "run %s: the site's journal lacked exchange %d, whose outcome this site had signed and kept; "
            "the exchange is recorded again",
            *(run_id, exchange),
        )
    if of_before:  # the usual course of an upgrade
        told = "run %s: %s of before this site had a journal (Hanse 0.1) taken over into it"
        logger.info(told, run_id, counted(of_before, "exchange"))


def _own_outcome(identity: Identity, folder: RunFolder, exchange: int) -> TaskOutcome | None:
    statement = folder.outcome(exchange)
    if statement is None:
        return None
    try:
        purpose = purpose_of_outcome(statement)
        return check_own(statement, TaskOutcome, purpose, identity.credentials, identity.own_keys())
    except (ProtocolError, TrustError) as error:
        logger.warning("the outcome of exchange %d that was kept does not count: %s", exchange, error)
        return None
