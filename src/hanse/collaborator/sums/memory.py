"""Memory of a site about sums over the same data, from its journal, as the states of a sum need it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hanse.collaborator.context import SiteContext
from hanse.collaborator.peers.pins import pins_of
from hanse.collaborator.sums.files import SumFiles, site_salt
from hanse.core.journal.sum_history import ExchangeSum
from hanse.core.journal.sum_history import SumHistory as Recorded
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import cell_of, colluders_of, members_of
from hanse.errors import PolicyError
from hanse.pki.key_words import NUM_DIGITS
from hanse.privacy.secagg.cells import EarlierRoster
from hanse.privacy.secagg.context import path_digest
from hanse.privacy.secagg.roster import Pins, check_peers
from hanse.privacy.secagg.site import MaskedVector, SumHistory


@dataclass(frozen=True, slots=True)
class SummedData:
    """Data sources of a plan, by the marks by which later sums recognise them.

    Attributes:
        names: Of the sources.
        paths: Salted digests of their resolved paths.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnCell:
    """The cell of this site in a plan.

    Attributes:
        name: Of the cell.
        members: Names of its members, sorted.
        colluders: c, as it holds at this site.
        data: What is summed.
        pins: Keys that this site knows its members by.
    """

    name: str
    members: tuple[str, ...]
    colluders: int
    data: SummedData
    pins: Pins


def own_cell(context: SiteContext, plan: Plan, plan_digest: str) -> OwnCell:
    """The cell that this site is summed in, if it takes part; reads the disk.

    Raises:
        PolicyError: The cell is smaller than `site.yaml` permits, or too few of its members are checked.
        ConfigError: A key among `secure_aggregation: peers` is not one.
        StorageError: The folder cannot be read or written.
    """
    site, settings = context.identity.site, context.settings.secure_aggregation
    cell = cell_of(plan, site)
    members = members_of(plan, cell)
    if len(members) < settings.minimum:
        raise PolicyError(
            f"cell {cell} has {len(members)} members, and site.yaml wants {settings.minimum} at least",
            mend="Ask for larger cells, or lower `secure_aggregation: minimum` in site.yaml.",
        )
    recorded = context.journal.history.sums
    data = _data(context, plan)
    colluders = max(colluders_of(plan), settings.colluders, recorded.colluders(data.names, data.paths))
    pins = pins_of(settings, _seen(context, plan_digest))
    check_peers(site, members, colluders, pins)
    return OwnCell(cell, members, colluders, data, pins)


def earlier_rosters(recorded: Recorded, data: SummedData) -> tuple[EarlierRoster, ...]:
    """Every roster that this site ever accepted for the same data."""
    found = recorded.rosters(data.names, data.paths)
    return tuple(EarlierRoster(each.plan_digest, each.cell, each.signers) for each in found)


def sum_history(known: ExchangeSum, files: SumFiles) -> SumHistory:
    """Records of an exchange, with the masked vectors that are still there; reads the disk."""
    masked = {
        rho: MaskedVector(vector.attempt, vector.digest)
        for rho, vector in known.masked.items()
        if files.holds(vector.attempt, vector.digest)
    }
    return SumHistory(known.last, known.commitments, known.signers, masked)


def _data(context: SiteContext, plan: Plan) -> SummedData:
    names = tuple(sorted(plan.data))
    places = [context.settings.data[name] for name in names if name in context.settings.data]
    recorded = context.journal.history.sums
    salt = site_salt(context.directory, context.randomness, new=not recorded.has_paths)
    return SummedData(names, tuple(sorted({path_digest(salt, os.path.realpath(each)) for each in places})))


def _seen(context: SiteContext, plan_digest: str) -> dict[str, str]:
    """Whole keys that count: those first seen in the plan, and those that pinned words first stood for."""
    recorded, peers = context.journal.history.sums, context.settings.secure_aggregation
    whole = {
        name: key
        for name, digits in pins_of(peers).checked.items()
        if len(digits) == NUM_DIGITS and (key := recorded.key_of(name, digits)) is not None
    }
    return whole | recorded.seen(plan_digest)
