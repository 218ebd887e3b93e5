"""Commands about a site's signing key: show it, and put a new one in its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hanse.assembly.site import site_upstream
from hanse.assembly.tuning import now
from hanse.config.layout import IDENTITY
from hanse.config.settings import load_site
from hanse.errors import CredentialError, HanseError, TransportError
from hanse.files.lock import DirectoryLock
from hanse.pki.credentials import Credentials
from hanse.pki.key_statements import enrolment_of, rotation_of
from hanse.pki.signing_key import SigningKey
from hanse.pki.signing_key_files import (
    drop_next_key,
    key_to_use,
    next_key,
    note_rotation,
    note_step,
    put_in_place,
)
from hanse.transport.base import Upstream
from hanse.wire.messages.members import SigningKeyRequest


@dataclass(frozen=True, slots=True)
class Rotation:
    """A signing key that took the place of another.

    Attributes:
        old: Fingerprint of the key that was replaced; None where an interrupted rotation was finished.
        key: The key that counts now.
    """

    old: str | None
    key: SigningKey


def site_signing_key(directory: Path) -> SigningKey:
    """The signing key of a site.

    Raises:
        ConfigError: It is not the folder of a site.
        CredentialError: The key is missing or damaged; says how the site gets another.
    """
    load_site(directory)
    return SigningKey.load(directory / IDENTITY)


async def rotate(directory: Path) -> Rotation:
    """Put a new signing key in the place of a site's, signed by the old one; the agent is stopped.

    Killed at any point, the next agent or the next rotation finds the key that counts, by what the
    aggregator has recorded.

    Raises:
        StorageError: The agent runs, or the folder cannot be written.
        RunError: The site takes part in a run.
        CredentialError: The old key is not here, or none is recorded.
        TransportError: The aggregator cannot be reached; whether the key was rotated shows the next try.
    """
    settings = load_site(directory)
    with DirectoryLock(directory, holder="collaborator", mend="Stop the agent first, then rotate the key."):
        credentials = Credentials.load(directory / IDENTITY, now())
        upstream = site_upstream(settings, credentials)
        try:
            return await _rotate(credentials, upstream)
        finally:
            await upstream.close()


async def _rotate(credentials: Credentials, upstream: Upstream) -> Rotation:
    identity, party = credentials.directory, credentials.party
    recorded = (await upstream.signing_key()).fingerprint
    if recorded is None:
        raise CredentialError(
            "the aggregator has recorded no signing key for this site",
            mend="Start the agent once: it makes the key of a site that joined before 0.2.",
        )
    old = key_to_use(identity, recorded)
    if put_in_place(identity, old):
        return Rotation(None, old)
    new = next_key(identity)
    statement = rotation_of(old, new, party)
    # Before it is recorded: what the old key has signed is known as the site's own from the first moment.
    note_rotation(identity, statement)
    request = SigningKeyRequest(enrolment=enrolment_of(new, party), rotation=statement)
    try:
        await upstream.record_signing_key(request)
    except TransportError:
        raise  # it may have been recorded: the next try, or the agent, asks
    except HanseError:
        drop_next_key(identity)
        raise
    note_step("recorded")
    put_in_place(identity, new)
    return Rotation(old.fingerprint, new)
