"""Pictures of a run: curves of its metrics, a small one for each site, its results, who holds how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.core.values.wording import named
from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.plots.record import ROUND, RunRecord
from hanse.plots.results import drawings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
"""Endings of the files that are written."""
MOST_SITES = 24
"""Sites that have a picture or a bar of their own."""

_ACROSS = 4
_RESULTS_ACROSS = 2
_WIDTH_IN, _HEIGHT_IN = 2.6, 2.1
_TASK = "train"


def draw(record: RunRecord, what: str = "all", metric: str | None = None) -> Figure:
    """Draw a run.

    Args:
        record: The run.
        what: `curves`, `sites`, `results`, `examples`; or `all` of these that the run has.
        metric: The metric of the small pictures of `sites`; None for the loss, or the first that there is.

    Raises:
        ConfigError: matplotlib is not installed, there is no such picture or metric, or nothing to draw.
    """
    if what not in ("all", *PARTS):
        raise ConfigError(
            f"there is no picture {what!r} of a run", mend=f"There are all, {', '.join(PARTS)}."
        )
    if not record.history:
        raise ConfigError(f"run {record.title} has no committed round to draw yet")
    chosen = _metric(record, metric)
    parts = [part for name, part in PARTS.items() if what in ("all", name) and part.there(record)]
    if not parts:
        wanted = "" if what == "all" else f" for the picture {what!r}"
        there = [name for name, part in PARTS.items() if part.there(record)]
        raise ConfigError(
            f"run {record.title} has nothing to draw{wanted}: "
            f"{_LACKS.get(what, 'no metrics, and no results of a kind that has a picture')}",
            mend=f"It has: {', '.join(there)}." if there else "",
        )
    heights = [part.rows(record) for part in parts]
    figure_class = _matplotlib()
    size = (_ACROSS * _WIDTH_IN, max(sum(heights), 1) * _HEIGHT_IN)
    figure: Figure = figure_class(figsize=size, layout="constrained")
    figure.suptitle(record.title, fontsize="medium")
    shares = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, share in zip(parts, shares, strict=True):
        part.draw(share, record, chosen)
    return figure


def write(figure: Figure, file: Path) -> None:
    """Write a picture as PNG, SVG or PDF, by the end of the file's name.

    Raises:
        ConfigError: The name has another ending.
        StorageError: The file cannot be written.
    """
    check_ending(file)
    # Without the time of day, the same run gives the same file.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(file.suffix.lower(), {})
    from matplotlib import rc_context

    with file_errors(f"write {file}"), rc_context({"svg.hashsalt": "hanse"}):
        figure.savefig(file, metadata=undated, dpi=150)


def check_ending(file: Path) -> None:
    """Refuse a file whose name does not say what picture it is.

    Raises:
        ConfigError: The name has another ending.
    """
    if file.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{file.name} has none of the endings {named(list(ENDINGS))}", mend="Name it as in run.png."
        )


class _Part:
    """A part of a picture: the rows that it needs, how it is drawn, and of which runs there is one."""

    def __init__(
        self,
        rows: Callable[[RunRecord], int],
        draw: Callable[..., None],
        there: Callable[[RunRecord], bool],
    ) -> None:
        self.rows, self.draw, self.there = rows, draw, there


def _curves(share: Any, record: RunRecord, _metric: str) -> None:
    """One picture for each metric: the mean over the sites, and thin lines of each site."""
    columns = record.columns()
    names = [name for name in columns if name != ROUND]
    axes = _grid(share, len(names))
    for name, axis in zip(names, axes, strict=True):
        for site in record.sites[:MOST_SITES]:
            own = record.columns_of_site(site)
            if name in own:
                axis.plot(own[ROUND], _numbers(own[name]), color="0.7", linewidth=0.8)
        axis.plot(columns[ROUND], _numbers(columns[name]), color="C0", linewidth=2, marker=_dot(columns))
        _labelled(axis, name)
    share.suptitle("means over the sites (blue), and each site", fontsize="small")


def _sites(share: Any, record: RunRecord, metric: str) -> None:
    """One picture for each site, with the mean over the sites to compare with; all have the same scale."""
    means = record.columns()
    sites = record.sites[:MOST_SITES]
    axes = _grid(share, len(sites), shared=True)
    for site, axis in zip(sites, axes, strict=True):
        own = record.columns_of_site(site)
        if metric in means:
            axis.plot(means[ROUND], _numbers(means[metric]), color="0.7", linewidth=1)
        if metric in own:
            axis.plot(own[ROUND], _numbers(own[metric]), color="C1", linewidth=1.5, marker=_dot(own))
        _labelled(axis, site)
    left_out = _left_out(record.sites, sites)
    share.suptitle(f"{metric} of each site (orange), and the mean{left_out}", fontsize="small")


def _results(share: Any, record: RunRecord, _metric: str) -> None:
    """A picture for each result that has one."""
    found = drawings(record.tables)
    for (title, draw_on), axis in zip(found, _grid(share, len(found), across=_RESULTS_ACROSS), strict=True):
        draw_on(axis)
        axis.set_title(title, fontsize="small")
        axis.tick_params(labelsize="x-small")
        axis.spines[["top", "right"]].set_visible(False)
    share.suptitle("results", fontsize="small")


def _examples(share: Any, record: RunRecord, _metric: str) -> None:
    """Bars of what each site holds: by label where that is known, else the examples that it worked on."""
    if any(record.held.values()):
        _labels(share, record)
        return
    task = _TASK if _TASK in record.examples else next(iter(record.examples), _TASK)
    held = record.examples.get(task, {})
    sites = sorted(held)[:MOST_SITES]
    axis = share.subplots()
    bars = axis.barh(sites, [held[site] for site in sites], color="C0")
    axis.bar_label(bars, padding=3, fontsize="small")
    _bars(axis)
    share.suptitle(f"examples of each site, {task}{_left_out(held, sites)}", fontsize="small")


def _labels(share: Any, record: RunRecord) -> None:
    """Bars of the examples that each site was dealt, in pieces by label."""
    sites = sorted(record.held)[:MOST_SITES]
    labels = list(dict.fromkeys(label for site in sites for label in record.held[site]))
    axis = share.subplots()
    left = [0] * len(sites)
    for label in labels:
        counts = [record.held[site].get(label, 0) for site in sites]
        axis.barh(sites, counts, left=left, label=label)
        left = [before + count for before, count in zip(left, counts, strict=True)]
    axis.legend(
        title="label",
        fontsize="x-small",
        title_fontsize="x-small",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    _bars(axis)
    share.suptitle(f"examples dealt to each site, by label{_left_out(record.held, sites)}", fontsize="small")


def _bars(axis: Any) -> None:
    axis.invert_yaxis()
    axis.tick_params(labelsize="small")
    axis.spines[["top", "right"]].set_visible(False)


def _left_out(all_sites: Collection[str], shown: Sequence[str]) -> str:
    more = len(all_sites) - len(shown)
    return f"; {more} more sites are left out" if more else ""


PARTS = {
    "curves": _Part(
        lambda record: _rows(len(record.columns()) - 1), _curves, lambda record: len(record.columns()) > 1
    ),
    "sites": _Part(
        lambda record: _rows(len(record.sites[:MOST_SITES])),
        _sites,
        lambda record: any(len(record.columns_of_site(site)) > 1 for site in record.sites),
    ),
    "results": _Part(
        lambda record: 2 * _rows(len(drawings(record.tables)), _RESULTS_ACROSS),
        _results,
        lambda record: bool(drawings(record.tables)),
    ),
    "examples": _Part(
        lambda record: 1 + len(record.sites[:MOST_SITES]) // 8,
        _examples,
        lambda record: any(record.held.values()) or bool(record.examples),
    ),
}
"""Parts of a picture by name, from above to below."""

_LACKS = {
    "curves": "no metrics",
    "sites": "no metrics of sites",
    "results": "no results of a kind that has a picture",
    "examples": "no numbers of examples",
}
"""The reason why there is no such part."""


def _rows(count: int, across: int = _ACROSS) -> int:
    return max(math.ceil(count / across), 1)


def _grid(share: Any, count: int, *, shared: bool = False, across: int = 0) -> Sequence[Any]:
    """So many axes in rows of `across`, which then have scales of their own; places left over are empty."""
    if not count:
        return []
    rows = _rows(count, across or _ACROSS)
    found = share.subplots(
        rows, min(count, across or _ACROSS), squeeze=False, sharex=not across, sharey=shared
    ).ravel()
    for axis in found[count:]:
        axis.set_visible(False)
    return list(found[:count])


def _labelled(axis: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(title, fontsize="small")
    axis.tick_params(labelsize="x-small")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axis.spines[["top", "right"]].set_visible(False)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _dot(columns: dict[str, list[Any]]) -> str:
    """A marker where a line of one point would show nothing."""
    return "o" if len(columns[ROUND]) == 1 else ""


def _metric(record: RunRecord, wanted: str | None) -> str:
    own = [name for site in record.sites for name in record.columns_of_site(site)]
    known = list(dict.fromkeys(name for name in [*record.columns(), *own] if name != ROUND))
    if wanted is not None and wanted not in known:
        raise ConfigError(f"the run has no metric {wanted!r}", mend=f"It has: {', '.join(known) or 'none'}.")
    return wanted or next(iter(known), "")


def _matplotlib() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "pictures need matplotlib, which is not installed", mend="Run: pip install 'hanse[plot]'."
        ) from None
    return Figure
