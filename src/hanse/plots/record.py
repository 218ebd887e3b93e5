"""Metrics and examples of a run, from its events, as pictures show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hanse.control.timeline import Timeline, in_order
from hanse.core.run.events import Event
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.run_events import RunSubmitted
from hanse.wire.result_tables import Tables

ROUND = "round"
"""The column with the number of the round."""


class RunRecord:
    """Takes in the events of a run, simulated or deployed.

    Attributes:
        title: Name of the run.
        rounds: Rounds of its plan.
        examples: Examples that each site worked on in its last answer, by task, then by site.
        held: Examples of each label that a site was dealt in a simulation, by site, then by label.
        tables: Tables of its results.
    """

    def __init__(self) -> None:
        self.title = ""
        self.rounds = 0
        self.examples: dict[str, dict[str, int]] = {}
        self.held: Mapping[str, Mapping[str, int]] = {}
        self.tables: Tables = {}
        self._timeline = Timeline()

    def take(self, event: Event) -> list[str]:
        """Take in an event; the lines in which the command would show it."""
        lines = self._timeline.lines_for(event)
        if isinstance(event, RunSubmitted):
            self.title, self.rounds = event.run_id, event.manifest.plan.rounds
        # In a masked sum no site states its number.
        if isinstance(event, UpdateAccepted) and not self._timeline.is_masked(event.exchange):
            task = self._timeline.task_of(event.exchange)
            self.examples.setdefault(task, {})[event.site] = event.num_examples
        return lines

    @property
    def history(self) -> list[dict[str, Any]]:
        """The committed rounds; see `hanse.control.timeline.Timeline`."""
        return self._timeline.history

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that gave a metric in a committed round, in site order."""
        return tuple(sorted({site for told in self.history for site in told["sites"]}))

    def columns(self) -> dict[str, list[Any]]:
        """The rounds by column: `round`, then each mean over the sites; None where there is none."""
        return columns_of((told[ROUND], told["metrics"]) for told in self._asked)

    def columns_of_site(self, site: str) -> dict[str, list[Any]]:
        """The rounds by column: `round`, then each metric that the site gave; None where it gave none."""
        return columns_of((told[ROUND], told["sites"].get(site, {})) for told in self._asked)

    @property
    def _asked(self) -> list[dict[str, Any]]:
        """The rounds; of a run without any metric, those that asked a site."""
        if any(row["metrics"] for row in self.history):
            return self.history
        return [row for row in self.history if row["sites"] or row["exchanges"]]


def columns_of(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Rows of metrics, each with its round, as columns."""
    rows = list(rows)
    names = in_order(name for _, metrics in rows for name in metrics)
    columns: dict[str, list[Any]] = {ROUND: [number for number, _ in rows]}
    return columns | {name: [metrics.get(name) for _, metrics in rows] for name in names}
