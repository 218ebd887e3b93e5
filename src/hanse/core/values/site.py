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


class DataSources(Mapping[str, Path]):
    """A site's data sources by name; an unknown name says which names there are.

    Args:
        site: The site's name.
        paths: Where each source is, by its name.
        mend: What a person does about a source that is missing, for the error.
    """

    def __init__(
        self, site: str, paths: Mapping[str, Path], mend: str = "say in site.yaml where it is"
    ) -> None:
        self._site = site
        self._paths = dict(paths)
        self._mend = mend

    def __repr__(self) -> str:
        return f"DataSources({', '.join(f'{name}={path}' for name, path in self._paths.items())})"

    def __getitem__(self, name: str) -> Path:
        try:
            return self._paths[name]
        except KeyError:
            known = ", ".join(sorted(self._paths)) or "none"
            raise MissingDataError(
                f"site {self._site} has no data source named {name!r}; it has: {known}",
                mend=f"Name it under `data` in the plan, and {self._mend}.",
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The site that a learner or script runs at.

    Attributes:
        name: The collaborator's name.
        data: Paths of the site's data sources, by the names that plan and `site.yaml` use.
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
    partition: Callable[[npt.ArrayLike], Indices] | None = None
    labels: tuple[LabelValue, ...] | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.data_root is None and len(self.data) == 1:
            object.__setattr__(self, "data_root", next(iter(self.data.values())))

    def share(self, labels: npt.ArrayLike) -> Indices:
        """Which examples are this site's.

        In a deployment all of them; in a simulation this site's part of a
        data set that the virtual sites share, by `--partition`.

        Args:
            labels: One label an example, shape (examples,); only label-skewed
                partitions look at the values.

        Returns:
            Increasing indices, int64.
        """
        if self.partition is None:
            return np.arange(len(np.asarray(labels)), dtype=np.int64)
        return self.partition(labels)
