"""Answers of sealed runs: to which instance of the aggregator an update is sealed, and what counts again."""

from __future__ import annotations

from hanse.collaborator.exchange_limits import check_result
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.sealed.runs import SealedRun
from hanse.core.journal.exchange_counts import AskedExchange
from hanse.core.journal.site_history import SiteHistory
from hanse.core.values.digests import Algorithm
from hanse.wire.messages.sites import TaskOutcome


def check_content(history: SiteHistory, folder: RunFolder, asked: AskedExchange, content: str) -> None:
    """As `hanse.collaborator.exchange_limits.check_result`, of a result of a sealed run.

    The same content that is sealed again has another digest, and says no more than before.

    Args:
        history: Of the site's journal.
        folder: The run's.
        asked: The exchange.
        content: Digest of what the result would disclose, with the digest of the plain update.

    Raises:
        PolicyError: As many different results of the exchange have left as may.
        StorageError: The folder cannot be read or written.
    """
    if not folder.disclosed_before(asked.exchange, content):
        check_result(history, asked, content)
        folder.note_disclosed(asked.exchange, content)


def sealed_outcome(
    run: SealedRun, folder: RunFolder, outcome: TaskOutcome, algorithm: Algorithm
) -> TaskOutcome:
    """An outcome with its update sealed to the aggregator's instance, if it has an update.

    Args:
        run: The run.
        folder: Its folder, with the update.
        outcome: The outcome, which names the plain update.
        algorithm: What makes the digest.

    Raises:
        PolicyError: The update cannot be sealed.
        StorageError: It cannot be written.
    """
    if outcome.update is None:
        return outcome
    exchange = outcome.exchange
    plain, target = folder.outgoing(exchange), folder.leaving(exchange)
    update = run.seal_update(plain, target, exchange, algorithm, outcome.site)
    return outcome.model_copy(update={"update": update, "sealed_to": run.sealed_to})
