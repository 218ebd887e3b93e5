"""A model beside those that sites train alone, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from hanse.control.timeline import figure, in_order
from hanse.core.values.update import Metrics
from hanse.interactive.columns import html_table
from hanse.learners.comparison import Comparison


class Baselines:
    """Metrics of several models at every site: the federated one, each site's own, that of all data.

    Args:
        comparison: The figures.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @property
    def examples(self) -> Mapping[str, int]:
        """Number of held-out examples, by site."""
        return self._comparison.examples

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the loss first."""
        return in_order(self._comparison.metrics)

    @property
    def scores(self) -> Mapping[str, Mapping[str, Metrics]]:
        """Metrics by model, then by site; a metric that is not known there is left out."""
        return self._comparison.scores

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences to read beside the figures."""
        return self._comparison.notes

    def mean(self, model: str, metric: str) -> float | None:
        """Mean of a metric of one model over all held-out examples; None where a site lacks it."""
        return self._comparison.mean(model, metric)

    def table(self, metric: str) -> dict[str, dict[str, float | None]]:
        """One metric by model, then by site; `all` is the mean over all examples.

        `pandas.DataFrame(table).T` is that of the command.
        """
        return {
            model: {site: by_site.get(site, {}).get(metric) for site in self.examples}
            | {"all": self.mean(model, metric)}
            for model, by_site in self.scores.items()
        }

    def __repr__(self) -> str:
        return "\n\n".join([*(self._text(metric) for metric in self.metrics), *self.notes])

    def _repr_html_(self) -> str:
        tables = (f"<p>{escape(name)}</p>{html_table(*self._cells(name))}" for name in self.metrics)
        return "".join([*tables, *(f"<p>{escape(note)}</p>" for note in self.notes)])

    def _text(self, metric: str) -> str:
        heads, rows = self._cells(metric)
        widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
        lines = ("  ".join(map(_padded, row, widths, range(len(row)))) for row in (heads, *rows))
        return "\n".join([f"{metric}:", *lines])

    def _cells(self, metric: str) -> tuple[list[str], list[list[str]]]:
        counts = {**self.examples, "all": sum(self.examples.values())}
        heads = ["model (held-out examples)", *(f"{site} ({count})" for site, count in counts.items())]
        table = self.table(metric)
        return heads, [[model, *map(_figure, row.values())] for model, row in table.items()]


def _padded(cell: str, width: int, place: int) -> str:
    return f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"


def _figure(value: Any) -> str:
    return "-" if value is None else figure(value)
