"""The cell of a site in a plan with secure aggregation: whether the site takes part, and who must be honest.

Reasons of a refusal leave the site, and so they do not say which peers are checked: a party that wants to
pose as a peer would learn which of them to pose as.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hanse.collaborator.peers.pins import pins_of
from hanse.config.settings import SiteSettings
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import cell_of, colluders_of, members_of
from hanse.core.values.sums.ready import MOST_MEMBERS
from hanse.core.values.wording import counted, named
from hanse.errors import PlanError, PolicyError
from hanse.privacy.secagg.roster import check_peers, checked_peers


@dataclass(frozen=True, slots=True)
class OwnCell:
    """A cell with this site in it, and its other members.

    Attributes:
        colluders: c: the largest of the plan's, the site's own, and of earlier sums over the same data.
        checked: Members whose signing keys people of this site have checked.
        unchecked: The others but this site.
        trust_on_first_use: Whether fewer than c + 1 checked peers are enough here.
    """

    name: str
    members: tuple[str, ...]
    colluders: int
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    trust_on_first_use: bool

    @property
    def has_enough(self) -> bool:
        """Check if at least one honest peer is certain, if no more than c of the checked ones collude."""
        return len(self.checked) > self.colluders


def own_cell(settings: SiteSettings, plan: Plan, earlier: int = 0) -> OwnCell | None:
    """Find the cell of a site in a plan.

    Args:
        settings: Of the site.
        plan: The plan.
        earlier: Largest c of the plans under which this site was summed over the same data; 0 for none.

    Returns:
        The cell; None where the plan has no secure aggregation.

    Raises:
        ConfigError: A peer in `site.yaml` has no key.
        PlanError: The plan has secure aggregation, and the site is in no cell.
    """
    if plan.privacy.secure_aggregation is None:
        return None
    site, here = settings.name, settings.secure_aggregation
    cell = cell_of(plan, site)
    members = members_of(plan, cell)
    checked = checked_peers(site, members, pins_of(here))
    return OwnCell(
        name=cell,
        members=members,
        colluders=max(colluders_of(plan), here.colluders, earlier),
        checked=checked,
        unchecked=tuple(name for name in members if name != site and name not in checked),
        trust_on_first_use=here.trust_on_first_use,
    )


@dataclass(frozen=True, slots=True)
class CellRefusal:
    """Why a site takes no part in a plan with secure aggregation.

    Attributes:
        reason: A sentence that may leave the site.
        mend: What to do, for people of this site only.
    """

    reason: str
    mend: str


def cell_refusal(settings: SiteSettings, plan: Plan, earlier: int = 0) -> CellRefusal | None:
    """Say why a site takes no part in a plan with secure aggregation; arguments as of `own_cell`.

    Returns:
        The reason; None where nothing of the cell speaks against the plan.

    Raises:
        ConfigError: A peer in `site.yaml` has no key.
    """
    here = settings.secure_aggregation
    try:
        cell = own_cell(settings, plan, earlier)
    except PlanError:
        return CellRefusal(
            "the plan has secure aggregation, and this site is in none of its cells",
            "If it is to take part, ask the plan's author for another plan with it in a cell.",
        )
    if cell is None:
        return None
    least = max(here.minimum, cell.colluders + 2)
    if len(cell.members) < least:
        return CellRefusal(
            f"cell {cell.name} has {counted(len(cell.members), 'member')}; this site takes part in cells "
            f"of {least} or more (`minimum: {here.minimum}` and c = {cell.colluders})",
            "Ask the plan's author for larger cells.",
        )
    try:
        check_peers(settings.name, cell.members, cell.colluders, pins_of(here))
    except PolicyError:
        return CellRefusal(
            f"people of this site have to check the signing keys of {cell.colluders + 1} other members of "
            f"cell {cell.name} first, and have checked fewer",
            f"Checked: {named(cell.checked, MOST_MEMBERS) or 'none'}; not checked: "
            f"{named(cell.unchecked, MOST_MEMBERS)}. Check peers by `hanse collaborator trust NAME`, then "
            "restart the agent.",
        )
    return None


def cell_sentences(settings: SiteSettings, plan: Plan) -> Iterator[str]:
    """Say to people of a site whom its update is hidden from in a plan with secure aggregation, and by whom.

    Yields:
        Sentences for this site only; see `OwnCell`.

    Raises:
        ConfigError: A peer in `site.yaml` has no key.
    """
    try:
        cell = own_cell(settings, plan)
    except PlanError:
        yield f"{settings.name} is in no cell of this plan, and takes no part in it."
        return
    if cell is None:
        return
    others = named((*cell.checked, *cell.unchecked), MOST_MEMBERS)
    yield (
        f"Masked results of this site are disclosed in the sum over cell {cell.name} only, with those of "
        f"{others}."
    )
    if cell.checked:
        yield f"People of this site have checked the signing keys of {named(cell.checked, MOST_MEMBERS)}."
    if cell.unchecked:
        yield (
            f"They have not checked {named(cell.unchecked, MOST_MEMBERS)}: the operator of the aggregator "
            "could be any of these. Check them by `hanse collaborator trust NAME`."
        )
    yield from _conclusion(cell)


def _conclusion(cell: OwnCell) -> Iterator[str]:
    if cell.has_enough:
        crowd = 1 + len(cell.checked) - cell.colluders
        yield (
            f"So it is hidden among at least {crowd} sites if at most {cell.colluders} of the checked ones "
            "help the operator of the aggregator. The party that hosts the aggregator counts as one that "
            "helps. Two sites of one institution count as one: if two of the checked ones are, subtract one."
        )
    elif cell.trust_on_first_use:
        yield (
            f"Only {len(cell.checked)} of the {cell.colluders + 1} peers that it takes are checked, and "
            "`trust_on_first_use` permits that: the operator of the aggregator could be all other members, "
            "and would then learn this site's update."
        )
    else:
        yield (
            f"This site takes no part: {cell.colluders + 1} peers of the cell have to be checked "
            f"(c = {cell.colluders}), and {len(cell.checked)} {'is' if len(cell.checked) == 1 else 'are'}."
        )
