"""Commands about the peers of a site: list them, and enter the keys that people have checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hanse.assembly.site import site_upstream
from hanse.assembly.tuning import now
from hanse.collaborator.peers.entry import with_peer, without_peer
from hanse.collaborator.peers.expected_overlaps import expected_overlaps, known_signers
from hanse.collaborator.peers.pins import read_peer, same_key
from hanse.collaborator.peers.standing import ListedPeer, check_heard, check_new_peer, peers_here
from hanse.collaborator.site_journal import records_of
from hanse.collaborator.sums.memory import SummedData, earlier_rosters
from hanse.config.layout import IDENTITY, JOURNAL, SUMS_SALT
from hanse.config.settings import SITE_FILE, SiteSettings, load_site
from hanse.core.journal.site_history import SiteHistory
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import cell_of, members_of
from hanse.errors import ConfigError, StorageError
from hanse.files.atomic import writing
from hanse.files.errors import file_errors
from hanse.files.lock import held_since
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.privacy.secagg.cells import question
from hanse.privacy.secagg.context import SALT_BYTES, path_digest
from hanse.transport.client.peer_list import all_peers
from hanse.wire.messages.members import PeerKey


@dataclass(frozen=True, slots=True)
class NewPeer:
    """A peer whose key may be entered, once a person has heard it from the peer.

    Attributes:
        key: Fingerprint that the aggregator states.
        before: What `site.yaml` has under this name; None for nothing.
    """

    directory: Path
    name: str
    key: str
    before: str | None


async def site_peers(directory: Path) -> tuple[ListedPeer, ...]:
    """List the sites of the federation, as the aggregator states them to a site.

    Raises:
        ConfigError: It is not the folder of a site, or a peer in `site.yaml` has no key.
        CredentialError: The site's credentials are not good.
        TransportError: The aggregator cannot be reached.
    """
    settings = load_site(directory)
    return peers_here(settings, _own_key(directory), await _stated(directory, settings))


async def new_peer(directory: Path, name: str) -> NewPeer:
    """Find a peer, to enter its key at a site.

    Raises:
        ConfigError: The federation has no such site, or it is this one.
        TrustError: Its key is that of this site, or of another peer.
        TransportError: The aggregator cannot be reached.
    """
    settings = load_site(directory)
    key = check_new_peer(settings, _own_key(directory), await _stated(directory, settings), name)
    return NewPeer(directory, name, key, settings.secure_aggregation.peers.get(name))


def enter(peer: NewPeer, heard: str) -> bool:
    """Write the key of a peer into `site.yaml`, if it is the one that a person heard.

    Returns:
        Whether the file has changed: False where it has this whole fingerprint already.

    Raises:
        ConfigError: What was heard is not a key, or the file cannot be changed by a command.
        TrustError: It is another key; nothing was written.
    """
    check_heard(peer.name, peer.key, heard)
    if peer.before == peer.key:
        return False
    _write(peer.directory, lambda text: with_peer(text, peer.name, peer.key))
    return True


def replaces_another(peer: NewPeer) -> bool:
    """Check if `site.yaml` has another key under the name of a peer."""
    return peer.before is not None and not same_key(read_peer(peer.name, peer.before), peer.key)


def forget(directory: Path, name: str) -> None:
    """Take a peer out of `site.yaml`.

    Raises:
        ConfigError: It is not there, or the file cannot be changed by a command.
    """
    if name not in load_site(directory).secure_aggregation.peers:
        raise ConfigError(f"site.yaml has no peer {name}", mend="`hanse federation peers` lists them.")
    _write(directory, lambda text: without_peer(text, name))


def num_checked(directory: Path) -> int:
    """Number of peers in `site.yaml`."""
    return len(load_site(directory).secure_aggregation.peers)


def overlap_question(directory: Path, settings: SiteSettings, plan: Plan) -> tuple[str, ...]:
    """Word the question that a plan's cell will raise beside earlier sums over the same data.

    Keys of members that this site does not know yet can add to it.

    Args:
        directory: Of the site.
        settings: As the folder has them.
        plan: A plan.

    Returns:
        Sentences; none without secure aggregation, or where no overlap is expected.

    Raises:
        ConfigError: A peer in `site.yaml` has no key.
        CredentialError: The site has no signing key.
    """
    if plan.privacy.secure_aggregation is None or not any(settings.name in c for c in plan.cells.values()):
        return ()
    if not os.path.lexists(directory / JOURNAL):
        return ()
    history = SiteHistory()
    try:
        for _ in records_of(directory, history):
            pass
    except StorageError as error:
        return (f"Earlier sums over the same data are not known: {error.message}.",)
    cell = cell_of(plan, settings.name)
    members, here = members_of(plan, cell), settings.secure_aggregation
    known = known_signers(settings.name, _own_key(directory), members, here, history.sums.key_of)
    data = _summed(directory, settings, plan)
    agreed = history.sums.agreed(data.names, data.paths)
    found = expected_overlaps(known, members, earlier_rosters(history.sums, data), agreed)
    if not found:
        return ()
    return (*question(cell, found).splitlines(), "The agent asks for this when the first sum begins.")


def _summed(directory: Path, settings: SiteSettings, plan: Plan) -> SummedData:
    """Marks of the data sources of a plan; of paths only where the agent has recorded some."""
    names, salt_file = tuple(sorted(plan.data)), directory / SUMS_SALT
    with file_errors(f"read {salt_file}"):
        salt = salt_file.read_bytes() if salt_file.exists() else b""
    places = [settings.data[name] for name in names if name in settings.data]
    paths = (
        {path_digest(salt, os.path.realpath(each)) for each in places} if len(salt) == SALT_BYTES else set()
    )
    return SummedData(names, tuple(sorted(paths)))


async def _stated(directory: Path, settings: SiteSettings) -> tuple[PeerKey, ...]:
    upstream = site_upstream(settings, Credentials.load(directory / IDENTITY, now()))
    try:
        return await all_peers(upstream.peers)
    finally:
        await upstream.close()


def _own_key(directory: Path) -> str:
    return SigningKey.load(directory / IDENTITY).fingerprint


def _write(directory: Path, change: Callable[[str], str]) -> None:
    path = (directory / SITE_FILE).resolve()  # a link stays a link
    with file_errors(f"write {path}"):
        before = path.stat()
        text = change(path.read_bytes().decode("utf-8"))
        with writing(path, mode=before.st_mode & 0o777, durable=True) as file:
            file.write(text.encode())
            with suppress(PermissionError):  # only root may, who may write the file of the agent's user
                os.fchown(file.fileno(), before.st_uid, before.st_gid)


def agent_has_older_settings(directory: Path) -> bool:
    """Check if the site's agent runs, and has read another `site.yaml` than is there now."""
    since = held_since(directory)
    if since is None:
        return False
    with file_errors(f"read {directory / SITE_FILE}"):
        return (directory / SITE_FILE).stat().st_mtime > since
