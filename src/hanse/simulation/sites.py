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

    A path that is not absolute is one in each site's data root where all roots have it, else one in the
    current folder.

    Args:
        sites: The sites.
        sources: Data sources of every site, each as `NAME=PATH`, or as `NAME` for one that `completed`
            finds in the data root.
        root: The data root of every site; None leaves it as it is.

    Raises:
        ConfigError: A source is not written so, or comes twice.
        MissingDataError: There is no such file or folder.
    """
    if root is not None:
        sites = [replace(site, data_root=_there(Path(), root, site.name)) for site in sites]
    paths: dict[str, str] = {}
    for source in sources:
        name, sign, path = source.partition("=")
        if not name or bool(sign) != bool(path) or name in paths:
            raise ConfigError(
                f"the data source {source!r} is given twice or not as NAME=PATH",
                mend=f"Write for example heart=data/{SITE}.csv; {SITE} stands for each site's name.",
            )
        if not sign and any(site.data_root is None for site in sites):
            raise ConfigError(
                f"the data source {source!r} has no path, and no data root in which to look for it",
                mend=f"Write {source}=PATH, or add --site-data DIR.",
            )
        paths[name] = path
    given = {name: _of_each(sites, path) for name, path in paths.items() if path}
    found = [
        replace(site, data={**site.data, **{name: files[index] for name, files in given.items()}})
        for index, site in enumerate(sites)
    ]
    return completed(found, [name for name, path in paths.items() if not path])


def completed(sites: Sequence[VirtualSite], names: Sequence[str]) -> list[VirtualSite]:
    """The same sites with the data sources of these names that lie in their data roots.

    A source is the file or folder of its name in each data root, whatever the name ends with
    (`heart.csv`); or the data root itself, where it is the only source and no root has such a file.
    Sites without a data root, and sources that a site has already, are left as they are.

    Raises:
        MissingDataError: A data root has no file or folder of that name, or several.
    """
    missing = [name for name in names if not any(name in site.data for site in sites)]
    if not missing or any(site.data_root is None for site in sites):
        return list(sites)
    found: dict[str, list[Path]] = {}
    for name in missing:
        inside = {site.name: _named(site.data_root, name) for site in sites if site.data_root is not None}
        if len(names) == 1 and not any(inside.values()):
            found[name] = [site.data_root for site in sites if site.data_root is not None]
            continue
        for site in sites:
            if len(inside[site.name]) != 1:
                several = ", ".join(path.name for path in inside[site.name])
                raise MissingDataError(
                    f"{site.data_root}, the data root of site {site.name}, has "
                    + (f"several of the name {name!r}: {several}" if several else f"no {name!r}"),
                    mend=f"Add --data {name}=PATH; {SITE} in PATH stands for the name of each site.",
                )
        found[name] = [paths[0] for paths in inside.values()]
    return [
        replace(site, data={**site.data, **{name: paths[index] for name, paths in found.items()}})
        for index, site in enumerate(sites)
    ]


def _named(folder: Path, name: str) -> list[Path]:
    """The file or folder of a name; else those that have the name and an ending."""
    with file_errors(f"read {folder}"):
        exact = folder / name
        return [exact] if exact.exists() else sorted(path for path in folder.iterdir() if path.stem == name)


def _of_each(sites: Sequence[VirtualSite], path: str) -> list[Path]:
    """A path of each site: in its data root where one has it there, else in the current folder."""
    inside = any(
        site.data_root is not None and (site.data_root / path.replace(SITE, site.name)).exists()
        for site in sites
    )
    here = Path()
    return [_there((site.data_root if inside else here) or here, path, site.name) for site in sites]


def _there(folder: Path, path: str, site: str) -> Path:
    found = (folder / Path(path.replace(SITE, site)).expanduser()).absolute()
    if not found.exists():
        raise MissingDataError(
            f"there is no {found}, which is to be data of site {site}", mend="Check the path."
        )
    return found
