"""Cells of virtual sites, for plans with secure aggregation that name other sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cell_rules import fewest_members
from hanse.core.plan.privacy.dealing import deal
from hanse.core.values.wording import counted, named
from hanse.errors import ConfigError

Cells = dict[str, tuple[str, ...]]


def virtual_cells(plan: Plan, sites: Iterable[str]) -> Cells | None:
    """Deal virtual sites into cells, where the plan sums over cells of others.

    A plan of several cells keeps their names. For a plan of one, sites are dealt as `hanse plan cells` does.

    Args:
        plan: The plan.
        sites: Names of the virtual sites.

    Returns:
        The cells by name; None where the plan's own are used.

    Raises:
        ConfigError: Some of the sites are in the plan's cells, and some are not; or they are too few for
            the plan's several cells.
        PlanError: There are fewer sites than a cell needs.
    """
    names = set(sites)
    members = {site for cell in plan.cells.values() for site in cell}
    section = plan.privacy.secure_aggregation
    if section is None or names <= members:
        return None
    if known := names & members:
        raise ConfigError(
            f"{named(sorted(names - members))} of the sites are in no cell of the plan {plan.name}, and "
            f"{named(sorted(known))} are",
            mend="Simulate sites that the plan names, or only others, which are dealt into its cells.",
        )
    cohort, colluders = plan.cohort, section.colluders or 1
    fewest = fewest_members(cohort.minimum, cohort.cell_minimum, colluders)
    if len(plan.cells) == 1:
        return deal(names, fewest)
    if len(names) < (needed := fewest * len(plan.cells)):
        raise ConfigError(
            f"{counted(len(names), 'site')} are too few for the {len(plan.cells)} cells of the plan "
            f"{plan.name}, of {fewest} members or more each",
            mend=f"Simulate {needed} sites or more.",
        )
    return _dealt_into(list(plan.cells), sorted(names))


def _dealt_into(cells: Sequence[str], sites: Sequence[str]) -> Cells:
    ends = [len(sites) * place // len(cells) for place in range(len(cells) + 1)]
    return {cell: tuple(sites[begin:end]) for cell, (begin, end) in zip(cells, pairwise(ends), strict=True)}
