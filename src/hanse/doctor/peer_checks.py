"""Checks of a site's peers in secure aggregation: whose signing keys its people have checked, whose not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from hanse.collaborator.peers.cell import OwnCell, own_cell
from hanse.collaborator.peers.pins import pins_of, read_peer
from hanse.collaborator.peers.standing import ListedPeer, Standing, peers_here
from hanse.collaborator.plan_store import PlanStore
from hanse.config.document import Document
from hanse.config.settings import SITE_FILE, SiteSettings
from hanse.core.values.sums.ready import MOST_MEMBERS
from hanse.core.values.wording import named
from hanse.doctor.checks import Finding, Grade, Way
from hanse.errors import ConfigError, HanseError
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.pki.tls import client_context
from hanse.transport.api.member_routes import PEERS
from hanse.transport.client.peer_list import all_peers

_CHECK = "peers"
_TRUST = "Check further ones by telephone: `hanse collaborator trust NAME`."
_HOST = "the party that hosts the aggregator counts as one that colludes"


def check_peer_entries(directory: Path, settings: SiteSettings) -> Iterator[Finding]:
    """Read the keys under `peers` in the settings of a site; name those that are not keys, with their lines.

    Args:
        directory: The site's folder.
        settings: As the folder has them.
    """
    peers = settings.secure_aggregation.peers
    document = Document.load(directory / SITE_FILE, ConfigError)
    good = True
    for name, written in peers.items():
        place = document.place(("secure_aggregation", "peers", name))
        try:
            read_peer(name, written)
        except ConfigError as error:
            good = False
            yield Finding(_CHECK, Grade.FAIL, f"{place}: {error.message.rpartition('`: ')[2]}", error.mend)
        if name == settings.name:
            yield Finding(_CHECK, Grade.WARN, f"{place}: this site itself does not count", "Remove the line.")
    if good:
        pins_of(settings.secure_aggregation)  # refuses two names with one key


def check_cells(settings: SiteSettings, plans: Path) -> Iterator[Finding]:
    """Say of each plan with secure aggregation that a site has seen whether enough of its cell is checked.

    Args:
        settings: Of the site.
        plans: The folder with its plans.
    """
    store = PlanStore(plans)
    for digest in sorted(path.parent.name for path in plans.glob("*/manifest.json")):
        try:
            plan = store.manifest(digest).plan
            cell = own_cell(settings, plan)
        except HanseError:  # a plan for other sites; or damaged, or a wrong peer, which other checks name
            continue
        if cell is not None:
            yield _of_cell(cell, f"cell {cell.name} of plan {plan.name} ({digest[:12]})")


def _of_cell(cell: OwnCell, what: str) -> Finding:
    told = f"{what}: {_who(cell.checked, cell.unchecked)}; c = {cell.colluders}, and {_HOST}"
    if cell.has_enough:
        return Finding(_CHECK, Grade.OK, told)
    if cell.trust_on_first_use:
        told += "; `trust_on_first_use` is set: the aggregator's operator could be all the others"
    return Finding(_CHECK, Grade.WARN, told, f"It takes {cell.colluders + 1} checked peers. {_TRUST}")


async def check_listed_peers(way: Way, credentials: Credentials, settings: SiteSettings) -> list[Finding]:
    """Hold the peers of a site against the sites that the aggregator lists.

    Raises:
        HanseError: They cannot be read or asked for.
    """
    async with way.open(client_context(credentials)) as connection:
        stated = await all_peers(partial(connection.call, PEERS))
    own_key = SigningKey.load(credentials.directory).fingerprint
    return list(of_federation(settings, peers_here(settings, own_key, stated)))


def of_federation(settings: SiteSettings, peers: Sequence[ListedPeer]) -> Iterator[Finding]:
    """Say who of the federation is checked at a site, and where the aggregator states something else."""
    for peer in peers:
        if peer.standing is Standing.ANOTHER_KEY and peer.name != settings.name:
            yield Finding(
                _CHECK,
                Grade.FAIL,
                f"the aggregator states another signing key of {peer.name} than site.yaml has: it was "
                "rotated, or somebody has enrolled another one in that name",
                f"Call {peer.name}; if its people read the new words out, `hanse collaborator trust "
                f"{peer.name}`.",
            )
        if peer.standing is Standing.ABSENT:
            told = f"the federation has no site {peer.name}, which is among the peers in site.yaml"
            mend = f"Correct the name, or `hanse collaborator trust {peer.name} --remove`."
            yield Finding(_CHECK, Grade.WARN, told, mend)
    names = {standing: [peer.name for peer in peers if peer.standing is standing] for standing in Standing}
    checked = names[Standing.CHECKED]
    told = f"in the federation: {_who(checked, names[Standing.UNCHECKED])}"
    least = settings.secure_aggregation.colluders + 1
    if not settings.secure_aggregation.peers:
        yield Finding(_CHECK, Grade.OK, f"{told}; secure aggregation takes {least} or more")
    elif len(checked) < least:
        yield Finding(_CHECK, Grade.WARN, told, f"A cell takes {least} checked peers at least. {_TRUST}")
    else:
        yield Finding(_CHECK, Grade.OK, f"{told}; {_HOST}")


def _who(checked: Sequence[str], unchecked: Sequence[str]) -> str:
    yes = named(checked, MOST_MEMBERS) or "none"
    return f"checked {yes}; not checked {named(unchecked, MOST_MEMBERS) or 'none'}"
