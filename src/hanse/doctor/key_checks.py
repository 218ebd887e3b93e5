"""Checks of a party's signing key: in its folder, and as the aggregator has recorded it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanse.doctor.checks import Finding, Grade, Way
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import key_to_use
from hanse.pki.tls import client_context
from hanse.transport.api.member_routes import SIGNING_KEY
from hanse.wire.messages.basics import Empty

_CHECK = "signing key"


def check_signing_key(identity: Path) -> Iterator[Finding]:
    """Read the signing key of a party.

    Args:
        identity: Folder with the party's credentials.
    """
    if not (identity / SIGNING_KEY_FILE).exists():
        yield Finding(
            _CHECK,
            Grade.WARN,
            f"{identity / SIGNING_KEY_FILE} is missing",
            "A folder of before 0.2 gets the key when the agent, or an operator's command, next runs; "
            "otherwise restore it from a backup.",
        )
        return
    key = SigningKey.load(identity)
    yield Finding(_CHECK, Grade.OK, f"{key.fingerprint}, in words: {key.words}")


async def check_recorded_key(way: Way, credentials: Credentials) -> list[Finding]:
    """Hold the signing key of a party against the one that the aggregator has recorded.

    Raises:
        CredentialError: The aggregator has recorded another one.
    """
    async with way.open(client_context(credentials)) as connection:
        recorded = (await connection.call(SIGNING_KEY, Empty())).fingerprint
    if recorded is None:
        return [
            Finding(
                _CHECK,
                Grade.WARN,
                "the aggregator has recorded none for this party",
                "It is recorded when the agent, or an operator's command, next runs.",
            )
        ]
    key_to_use(credentials.directory, recorded)
    return [Finding(_CHECK, Grade.OK, "the aggregator has recorded this one")]
