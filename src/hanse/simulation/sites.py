"""Which virtual sites there are, and where the data of each is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from hanse.core.values.identity import check_name
from hanse.errors import ConfigError, MissingDataError
from hanse.files.errors import file_errors
from hanse.simulation.simulate import VirtualSite

SITE = "{site}"
"""Stands for the name of the site in the path of a data source."""


def counted(count: int) -> list[VirtualSite]:
    """Sites named `site-1`, `site-2`, ...; with zeros in front where site order asks for them."""
    width = len(str(count))
    return [VirtualSite(f"site-{number:0{width}}") for number in range(1, count + 1)]


def named(names: Iterable[str]) -> list[VirtualSite]:
    """Sites of these names, in site order.

    Raises:
        ConfigError: A name is not valid, or comes twice.
    """
    sites = sorted(check_name(name) for name in names)
    twice = {name for name, after in pairwise(sites) if name == after}
    if twice:
        raise ConfigError(f"the site {min(twice)} is named twice", mend="Name each site once.")
    return [VirtualSite(name) for name in sites]


def in_folders(folder: Path) -> list[VirtualSite]:
    """A site for each folder in `folder`, which is its data root; in site order.

    Raises:
        ConfigError: The name of a folder is no site's, a file lies among the folders, or there is none.
        StorageError: `folder` cannot be read.
    """
    with file_errors(f"read the sites' folders in {folder}"):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        files = [entry.name for entry in entries if not entry.is_dir()]
    if files or not entries:
        what = f"{files[0]} is a file" if files else "it is empty"
        raise ConfigError(f"{folder} should hold a folder for each site, and {what}")
    return [VirtualSite(check_name(entry.name), data_root=entry.absolute()) for entry in entries]


def with_data(
    sites: Sequence[VirtualSite], sources: Iterable[str], root: str | None = None
) -> list[VirtualSite]:
    """The same sites with their data.

    Args:
        sites: The sites.
        sources: Data sources of every site, each as `NAME=PATH`.
        root: The data root of every site; None leaves it as it is.

    Raises:
        ConfigError: A source is not written so, or comes twice.
        MissingDataError: There is no such file or folder.
    """
    paths: dict[str, str] = {}
    for source in sources:
        name, sign, path = source.partition("=")
        if not (name and sign and path) or name in paths:
            raise ConfigError(
                f"the data source {source!r} is given twice or not as NAME=PATH",
                mend=f"Write for example heart=data/{SITE}.csv; {SITE} stands for each site's name.",
            )
        paths[name] = path
    return [
        replace(
            site,
            data={name: _there(path, site.name) for name, path in paths.items()},
            data_root=site.data_root if root is None else _there(root, site.name),
        )
        for site in sites
    ]


def _there(path: str, site: str) -> Path:
    found = Path(path.replace(SITE, site)).expanduser().absolute()
    if not found.exists():
        raise MissingDataError(
            f"there is no {found}, which is to be data of site {site}", mend="Check the path."
        )
    return found
