"""A new run: the sites that it asks, and its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hanse.core.journal.membership import STREAM, Membership
from hanse.core.plan.manifest import Manifest
from hanse.core.values.identity import Role
from hanse.core.values.wording import counted, named
from hanse.errors import RunError

_MOST_NAMED = 50


def sites_to_ask(membership: Membership, manifest: Manifest, chosen: Iterable[str] | None) -> tuple[str, ...]:
    """Sites that a run asks: those that an operator chose, or all.

    Raises:
        RunError: One of the chosen sites is not enrolled, or they are fewer than the plan needs.
    """
    enrolled = membership.names(Role.COLLABORATOR)
    if chosen is None:
        return enrolled
    sites = tuple(sorted({*chosen}))
    if unknown := [site for site in sites if site not in enrolled]:
        raise RunError(
            f"not enrolled as a site: {named(unknown)}",
            mend=f"Enrolled are: {named(enrolled, _MOST_NAMED) or 'none'}.",
        )
    if len(sites) < (minimum := manifest.plan.cohort.minimum):
        raise RunError(
            f"the run is to ask {counted(len(sites), 'site')}, and the plan needs {minimum}",
            mend="Name more sites, or lower `cohort: {minimum: ...}` in the plan.",
        )
    return sites


def new_run_id(taken: Collection[str], plan_name: str, name: str | None, suffix: str = "") -> str:
    """Id of a run: the name that an operator gave, or the plan's with the next number.

    Args:
        taken: Ids of all runs that there are.
        plan_name: Name of the plan.
        name: Name that an operator gave; None for none.
        suffix: End of all ids since the aggregator was restored, which no lost run had.

    Raises:
        RunError: There is a run of that name, or it means something else.
    """
    if name is not None:
        if f"{name}{suffix}" in taken or name == STREAM:
            problem = "is reserved" if name == STREAM else "is the name of another run"
            raise RunError(f"{name} {problem}", mend="Choose another name.")
        return f"{name}{suffix}"
    number = 1
    while {f"{plan_name}-{number}", f"{plan_name}-{number}{suffix}"} & {*taken}:
        number += 1
    return f"{plan_name}-{number}{suffix}"
