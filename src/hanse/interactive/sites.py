"""Virtual sites from what a session of Python gives: paths, named data sources, objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hanse.errors import ConfigError, MissingDataError
from hanse.files.paths import given_path
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import VirtualSite
from hanse.simulation.sites import completed, counted, in_folders, named

Sites = Mapping[str, Any] | int | np.integer[Any] | str | PathLike[str]
"""Sites by name with the data of each; a number of sites; or a folder with a folder for each site."""

ONLY = "data"
"""Name of a site's data where neither the site nor the plan names any."""
_MOST_SITES = 10_000
_MEND = "Add it to the data of each site, as in hanse.simulate(learner, {'a': {'table': table_a}, ...})."


def places(sites: Sites, wanted: Sequence[str] | None) -> list[VirtualSite]:
    """Make the sites, in site order.

    Args:
        sites: See `hanse.simulate`.
        wanted: Data sources that the plan names; None where it names those that the sites have.

    Raises:
        ConfigError: A site has a name that is not valid, or data that cannot be named.
        MissingDataError: There is no such file or folder, or a site lacks a data source.
    """
    match sites:
        case bool() | int() | np.integer():
            found = counted(_count(int(sites) if isinstance(sites, np.integer) else sites))
        case str() | PathLike():
            found = in_folders(given_path(sites, "sites").absolute())
        case Mapping():
            found = [_place(site, sites[site.name], wanted) for site in named(_names(sites))]
        case _:
            raise ConfigError(
                f"sites are given as a {type(sites).__name__}",
                mend="Give a dictionary, as in {'a': 'data/a.csv', 'b': 'data/b.csv'}, or a number.",
            )
    found = completed(found, wanted or ())
    _check_alike(found, wanted)
    return [replace(site, mend=_MEND) for site in found]


def dealing(partition: str | None, sites: Sites) -> Partition | None:
    """Read how one data set is dealt out; sites that are only counted have one in common.

    Raises:
        ConfigError: There is no such partition.
    """
    if partition is None:
        return Partition() if isinstance(sites, int | np.integer) else None
    if not isinstance(partition, str):
        raise ConfigError(
            f"a value of the type {type(partition).__name__} is not a partition",
            mend="Write it as text, as in partition='dirichlet:0.5'.",
        )
    return Partition.parse(partition)


def are_paths(sites: Sequence[VirtualSite]) -> bool:
    """Check that all data sources are files and folders."""
    return all(isinstance(source, Path) for site in sites for source in site.data.values())


def _count(count: int) -> int:
    if isinstance(count, bool) or not 1 <= count <= _MOST_SITES:
        raise ConfigError(f"{count} is not a number of sites", mend=f"Give 1 to {_MOST_SITES}.")
    return count


def _names(sites: Mapping[str, Any]) -> list[str]:
    if not sites:
        raise ConfigError("no site is given", mend="Give at least one, as in {'a': 'data/a.csv'}.")
    if wrong := [name for name in sites if not isinstance(name, str)]:
        raise ConfigError(f"the name {wrong[0]!r} of a site is not text", mend="Write it as text.")
    return list(sites)


def _place(site: VirtualSite, value: Any, wanted: Sequence[str] | None) -> VirtualSite:
    match value:
        case None:
            return site
        case Mapping():
            return replace(site, data={_source(site, name): _data(site, value[name]) for name in value})
        case str() | PathLike():
            path = _data(site, value)
            if path.is_dir() and wanted is not None:
                return replace(site, data_root=path)  # `completed` finds the sources there
            root = path if path.is_dir() else None
            return replace(site, data={_only(site, wanted): path}, data_root=root)
        case _:
            return replace(site, data={_only(site, wanted): value})


def _source(site: VirtualSite, name: object) -> str:
    if isinstance(name, str):
        return name
    raise ConfigError(
        f"the dictionary of site {site.name} has the key {name!r}, which is not the name of a data source",
        mend=f"A dictionary holds data sources by name; give {{'{ONLY}': DICTIONARY}} for one that is data.",
    )


def _only(site: VirtualSite, wanted: Sequence[str] | None) -> str:
    """Name of the one data source of a site that does not name it."""
    if wanted is None:
        return ONLY
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(wanted) or "none"
    raise ConfigError(
        f"the data of site {site.name} are one object or file, and the plan's data sources are: {names}",
        mend=f"Give a dictionary of the data sources by name: {{'{site.name}': {{NAME: ...}}, ...}}.",
    )


def _data(site: VirtualSite, value: Any) -> Any:
    """A path, which has to exist, or an object as it is."""
    if not isinstance(value, str | PathLike):
        return value
    path = given_path(value, f"data of site {site.name}").absolute()
    if not path.exists():
        raise MissingDataError(
            f"there is no {path}, which is to be data of site {site.name}", mend="Check the path."
        )
    return path


def _check_alike(sites: Sequence[VirtualSite], wanted: Sequence[str] | None) -> None:
    """Refuse sites that lack a data source, or have one that the plan does not name."""
    names = list(sites[0].data) if wanted is None else wanted
    whose = f"site {sites[0].name} has" if wanted is None else "the plan names"
    for site in sites:
        for name in names:
            if name not in site.data:
                raise MissingDataError(
                    f"site {site.name} has no data source {name!r}, which {whose}", mend=_MEND
                )
        for name in site.data:
            if name not in names:
                raise ConfigError(
                    f"site {site.name} has a data source {name!r}; {whose}: {', '.join(names) or 'none'}",
                    mend="Every site has the data sources that the plan names under `data`.",
                )
