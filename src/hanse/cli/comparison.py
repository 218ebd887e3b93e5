"""Tables of models beside each other."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from hanse.cli.output import printable
from hanse.learners.comparison import FEDERATED, Comparison


def render(comparison: Comparison, metric: str, title: str, examples: str = "held-out examples") -> Table:
    """One metric as a table: a row a model, a column a site with its number of examples."""
    table = Table(title=title, title_justify="left")
    table.add_column(f"model\n({examples})")
    for site, count in comparison.examples.items():
        table.add_column(f"{printable(site)}\n({count})", justify="right")
    table.add_column(f"all\n({sum(comparison.examples.values())})", justify="right")
    for model, by_site in comparison.scores.items():
        cells = [_figure(by_site.get(site, {}).get(metric)) for site in comparison.examples]
        style = "bold" if model == FEDERATED else None
        table.add_row(printable(model), *cells, _figure(comparison.mean(model, metric)), style=style)
    return table


def show(comparison: Comparison, titles: dict[str, str], examples: str = "held-out examples") -> None:
    """Print a table for each of these metrics, with its title."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has room for all columns
        console.width = max(
            console.width, 30 + sum(max(len(site), 8) + 3 for site in comparison.examples) + 12
        )
    for metric, title in titles.items():
        console.print()
        console.print(render(comparison, metric, title, examples))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
