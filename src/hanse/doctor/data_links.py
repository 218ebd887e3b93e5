"""Check of links in data sources: where plan code is confined, those that lead out lead nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hanse.config.settings import SiteSettings
from hanse.core.values.wording import counted
from hanse.doctor.checks import Finding, Grade

MOST_ENTRIES = 100_000
"""Files and folders of a data source that are looked at."""
_MOST_SHOWN = 3


def check_data_links(settings: SiteSettings, most: int = MOST_ENTRIES) -> Iterator[Finding]:
    """Count the links of each data source that lead out of all that the site names."""
    roots = [Path(os.path.realpath(path)) for path in settings.data.values()]
    for name, path in settings.data.items():
        found, seen = [], 0
        for seen, link in enumerate(_entries(path), 1):
            if link is not None and not _is_within(link, roots):
                found.append(link)
            if seen >= most:
                break
        if found:
            shown = ", ".join(f"{link} to {os.path.realpath(link)}" for link in found[:_MOST_SHOWN])
            of = f" among the first {most} entries" if seen >= most else ""
            yield Finding(
                "data",
                Grade.WARN,
                f"{name}: {counted(len(found), 'link')}{of} out of the data sources, which plan code cannot "
                f"follow: {shown}{', ...' if len(found) > _MOST_SHOWN else ''}",
                "Name the folder that they lead to under `data:` too, for plans to name, or put the files in "
                "the place of the links.",
            )


def _entries(root: Path) -> Iterator[Path | None]:
    """Every entry below a folder: the path of a link, else None."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield path if path.is_symlink() else None


def _is_within(link: Path, roots: list[Path]) -> bool:
    place = Path(os.path.realpath(link))
    return place.exists() and any(place.is_relative_to(root) for root in roots)
