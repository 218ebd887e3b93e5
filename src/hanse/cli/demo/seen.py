"""Histogram of the numbers that the demo's aggregator saw of one hospital, beside that of the sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hanse.cli.output import printable
from hanse.control.report import AuditReport
from hanse.control.sums.files import SumFiles
from hanse.demo.seen import BINS, Seen, histogram
from hanse.privacy.secagg.grid import Words
from hanse.updates.secure_sums.opened import fold_masked
from hanse.updates.secure_sums.vector_file import MASKED
from hanse.wire.tensors import open_file

_BAR = 24
"""Longest bar, in characters."""


def seen_of(report: AuditReport, site: str, task: str, blobs: Path) -> Seen | None:
    """Gather what the aggregator saw of a site in the masked sums of a task.

    Args:
        report: Of the run's journal.
        site: Name of the site.
        task: Name of the task.
        blobs: Folder with the aggregator's blobs.

    Returns:
        None where the vectors of no sum were all kept.
    """
    files, uploads, sums = SumFiles(blobs), list[Words](), list[Words]()
    in_sums = [found for found in report.sums if found.task == task and site in found.members]
    for found in in_sums:
        vectors = [_vector(files, digest) for digest in found.masked.values()]
        kept = [vector for vector in vectors if vector is not None]
        if len(kept) == len(vectors):
            sums.append(np.asarray(fold_masked(kept)))
            uploads += [each for each in (_vector(files, found.masked[site]),) if each is not None]
    if not sums:
        return None
    return Seen(site, max(len(found.members) for found in in_sums), histogram(uploads), histogram(sums))


def render(seen: Seen) -> Table:
    """Draw both histograms side by side, the ring from its least number to its largest."""
    table = Table(title=f"Numbers that the aggregator saw of {printable(seen.site)}", title_justify="left")
    table.add_column("part of the ring")
    table.add_column(f"sent by {printable(seen.site)}\n({seen.numbers} numbers)")
    table.add_column(f"sums of {seen.members} hospitals\n({sum(seen.sums)} numbers)")
    most = max(seen.upload), max(seen.sums)
    for part, counts in enumerate(zip(seen.upload, seen.sums, strict=True)):
        low = 2 * part / BINS - 1
        bars = [_bar(count, top) for count, top in zip(counts, most, strict=True)]
        table.add_row(f"{low:+.3f} to {low + 2 / BINS:+.3f}", *bars)
    return table


def sentence(seen: Seen) -> str:
    """Say what the histograms show."""
    upload, sums = (f"{100 * part:.0f} %" for part in seen.around_zero)
    return (
        f"What the aggregator saw of {seen.site} is noise: {upload} of its numbers lie in the two of {BINS} "
        f"parts of the ring around zero, where chance puts {200 / BINS:.0f} %; of the sums {sums} do."
    )


def show(seen: Seen) -> None:
    """Print the histograms, and what they show."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has room for all columns
        console.width = max(console.width, 2 * _BAR + 60)
    console.print()
    console.print(render(seen))
    console.print(f"\n{sentence(seen)}\n")


def _vector(files: SumFiles, digest: str) -> Words | None:
    path = files.find(digest)
    return None if path is None else open_file(path)[MASKED]


def _bar(count: int, most: int) -> str:
    length = round(_BAR * count / most)
    return f"{'█' * length} {count}".strip() if count else ""
