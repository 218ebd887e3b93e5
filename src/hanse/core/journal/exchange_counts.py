"""Exchanges in which a site has released something, counted by run, task and round."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.canonical import digest_of


@dataclass(frozen=True, slots=True)
class AskedExchange:
    """A task as a run asked it of a site.

    Attributes:
        plan_digest: Digest of the run's plan: where a federation is set up again, its runs may have the
            names of earlier ones.
        exchange: Number of the exchange in its run.
        model: Digest of the model to start from; None for none.
        inputs: What the site received beside the model.
    """

    run_id: str
    plan_digest: str
    exchange: int
    round_number: int
    task: str
    model: str | None
    inputs: AskInputs = NOTHING_BESIDE


@dataclass(frozen=True, slots=True)
class _Counted:
    """An exchange that was counted.

    Attributes:
        question: Stands for round, task, model and what stood beside it.
        in_round: Number of exchanges of its task in its round that were counted before.
        in_run: Number of exchanges of its task in its run that were counted before.
    """

    question: int
    in_round: int
    in_run: int


class ExchangeCounts:
    """Counts exchanges and not attempts: a second release under one number counts no more.

    Forgets nothing, and needs a few hundred bytes for each exchange; each stands in the journal too.
    """

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str, int], _Counted] = {}
        self._of_round: dict[tuple[str, str, str, int], int] = {}
        self._of_run: dict[tuple[str, str, str], int] = {}
        self._results: dict[tuple[str, str, int], frozenset[int]] = {}

    def add(self, asked: AskedExchange) -> None:
        """Count an exchange of which something is released, unless it was counted before."""
        if self._found(asked) is not None:
            return
        in_round, in_run = self.before_in_round(asked), self.before_in_run(asked)
        run = asked.run_id, asked.plan_digest
        self._counted[*run, asked.exchange] = _Counted(_question(asked), in_round, in_run)
        self._of_round[*run, asked.task, asked.round_number] = in_round + 1
        self._of_run[*run, asked.task] = in_run + 1

    def add_result(self, asked: AskedExchange, content: str) -> None:
        """Take in what a result disclosed in an exchange.

        Args:
            asked: The exchange.
            content: Digest of what was disclosed.
        """
        key = asked.run_id, asked.plan_digest, asked.exchange
        self._results[key] = self._results.get(key, frozenset()) | {_short(content)}

    def other_results(self, asked: AskedExchange, content: str) -> int:
        """Number of different results of an exchange; 0 if this one, by its digest, is among them."""
        found = self._results.get((asked.run_id, asked.plan_digest, asked.exchange), frozenset())
        return 0 if _short(content) in found else len(found)

    def has(self, run_id: str, plan_digest: str, exchange: int) -> bool:
        """Check if an exchange of this number was counted."""
        return (run_id, plan_digest, exchange) in self._counted

    def is_another(self, asked: AskedExchange) -> bool:
        """Check if an exchange was counted under this number that asked for something else."""
        found = self._found(asked)
        return found is not None and found.question != _question(asked)

    def before_in_round(self, asked: AskedExchange) -> int:
        """Number of exchanges of the task in this round that were counted, up to this one if it was."""
        found = self._found(asked)
        key = asked.run_id, asked.plan_digest, asked.task, asked.round_number
        return self._of_round.get(key, 0) if found is None else found.in_round

    def before_in_run(self, asked: AskedExchange) -> int:
        """As `before_in_round`, of all rounds of the run."""
        found = self._found(asked)
        key = asked.run_id, asked.plan_digest, asked.task
        return self._of_run.get(key, 0) if found is None else found.in_run

    def _found(self, asked: AskedExchange) -> _Counted | None:
        return self._counted.get((asked.run_id, asked.plan_digest, asked.exchange))


def _question(asked: AskedExchange) -> int:
    beside = [dict(asked.inputs.groups), dict(asked.inputs.settings), asked.inputs.cells]
    return _short(digest_of([asked.round_number, asked.task, asked.model, *beside]))


def _short(digest: str) -> int:
    return int(digest[:16], 16)
