"""What plan code may know about the place it runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.errors import MissingDataError

Indices = npt.NDArray[np.int64]
LabelValue = str | int | float | bool
"""A label of examples, or the name of a feature."""

DEPLOYED = "Name it under `data` in the plan, and say in site.yaml where it is."
"""The mend for a data source that a site lacks."""


class DataSources(Mapping[str, Any]):
    """A site's data sources by name; an unknown name says which names there are.

    Each is a path. In a simulation from Python (`hanse.simulate`) it may be any object instead.

    Args:
        site: Name of the site.
        sources: Its data sources.

    Attributes:
        mend: The mend for code that asks for another one.
    """

    def __init__(self, site: str, sources: Mapping[str, Any], mend: str = DEPLOYED) -> None:
        self._site = site
        self._sources = dict(sources)
        self.mend = mend

    def __repr__(self) -> str:
        return f"DataSources({ {name: _shown(source) for name, source in self._sources.items()} })"

    def __getitem__(self, name: str) -> Any:
        try:
            return self._sources[name]
        except KeyError:
            known = ", ".join(sorted(self._sources)) or "none"
            raise MissingDataError(
                f"site {self._site} has no data source named {name!r}; it has: {known}",
                mend=self.mend,
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _shown(source: Any) -> str:
    """A path, or the kind of an object, which may be long."""
    return str(source) if isinstance(source, Path) else type(source).__name__


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The site that a learner or script runs at.

    Attributes:
        name: The collaborator's name.
        data: Paths of the site's data sources, by the names that plan and `site.yaml` use; in a simulation
            from Python, the objects that it was given.
        seed: Seed of whatever is random when a learner is made; the same at every site, so that
            every site makes the same first model.
        options: The plan's `options`, for the plan's own code.
        data_root: The one place with this site's data: of a simulation what it was given, else the
            only one of `data`; None where there are several or none.
        index: Place of this site among the virtual sites of a simulation, from 0; 0 in a deployment.
        count: Number of virtual sites; 1 in a deployment.
        state_dir: A folder of the site's own that is kept between tasks and restarts, or None.
        partition: How a simulation deals one data set out to its sites; None in a deployment.
        labels: The labels that the plan states, in the order in which models count them; None where it
            states none.
        features: The names of features that the plan states, in their order; None where it states none.
    """

    name: str
    data: DataSources
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    index: int = 0
    count: int = 1
    state_dir: Path | None = None
    partition: Callable[..., Indices] | None = None
    labels: tuple[LabelValue, ...] | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        only = next(iter(self.data.values())) if len(self.data) == 1 else None
        if self.data_root is None and isinstance(only, Path):
            object.__setattr__(self, "data_root", only)

    def share(self, labels: npt.ArrayLike, table: Any = None) -> Indices:
        """Which examples are this site's.

        In a deployment all of them; in a simulation this site's part of a
        data set that the virtual sites share, by `--partition`.

        Args:
            labels: One label an example, shape (examples,); only `dirichlet` and `shards`
                look at the values.
            table: Columns of the examples by name: a data frame, a structured array or a
                dictionary of arrays; only `column` looks at it.

        Returns:
            Increasing indices, int64.
        """
        if self.partition is None:
            return np.arange(len(np.asarray(labels)), dtype=np.int64)
        return self.partition(labels) if table is None else self.partition(labels, table)
