"""Acknowledgement by an operator that the aggregator was restored from a backup."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from hanse.aggregator.members.own_certificates import renew_operator, settle_operator_key
from hanse.assembly.aggregator import _Parts
from hanse.assembly.operator import operator_directory, way_to_members
from hanse.assembly.tuning import now
from hanse.config.layout import IDENTITY, OPERATOR
from hanse.control.administration import Administration
from hanse.core.journal.restores import MOST_REASON_CHARS, RestoreAcknowledgement
from hanse.core.values.wording import bounded
from hanse.errors import CredentialError, RunError
from hanse.pki.credentials import Credentials
from hanse.pki.receipts import sign_acknowledgement
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import RestoreReply


async def acknowledge_restore(directory: Path, reason: str) -> str:
    """Acknowledge that the aggregator was restored, whether it runs or is stopped.

    Args:
        directory: Of the federation, or of an operator who joined it.
        reason: A sentence for the journals.

    Returns:
        What was done, in a sentence.

    Raises:
        CredentialError: The operator's certificate or signing key is missing or not good.
        RunError: No restore waits to be acknowledged; says how many sites have been heard of.
        HanseError: The aggregator could not be asked, or refuses.
    """
    async with AsyncExitStack() as stack:
        members = Administration(await way_to_members(directory, stack, _with_good_certificate))
        reply = await members.restore()
        notice = reply.notice
        if notice is None:
            raise _nothing_noticed(reply)
        home = operator_directory(directory)
        credentials = Credentials.load(home / IDENTITY, now())
        acknowledgement = RestoreAcknowledgement(
            federation=credentials.party.federation,
            operator=credentials.party.name,
            lost=notice.lost,
            reason=bounded(reason, MOST_REASON_CHARS),
            time_ms=max(round(now().timestamp() * 1000), notice.noticed_ms + 1),
        )
        key = SigningKey.load(home / IDENTITY)
        await members.acknowledge(sign_acknowledgement(credentials, key, acknowledgement))
    return (
        f"{credentials.party.name} acknowledges: {notice}. The runs continue; each site waits until a person "
        "there has acknowledged this too"
    )


def _nothing_noticed(reply: RestoreReply) -> RunError:
    if reply.sites and not reply.sites_heard:
        heard = "no site has connected since the aggregator started"
    elif reply.sites_heard < reply.sites:
        heard = (
            f"{reply.sites_heard} of {reply.sites} sites have connected since the aggregator started, and "
            "those have shown no receipt with a record that is missing here"
        )
    else:
        return RunError(
            "there is nothing to acknowledge: each site has connected since the aggregator started, and none "
            "has shown a receipt with a record that is missing here"
        )
    return RunError(
        f"there is nothing to acknowledge yet: {heard}",
        mend="Start the aggregator and wait until sites have connected; if records are missing, its log says "
        "so, as does `hanse run list`; then acknowledge.",
    )


def _with_good_certificate(parts: _Parts) -> None:
    """Renew the certificate of the operator at home if it has run out, as that in an old backup may have.

    The same for a signing key that is not recorded, as before 0.2. While a restore waits, nothing else is
    recorded; but without the two, it could not be acknowledged.
    """
    identity = parts.directory / OPERATOR / IDENTITY
    guard, parts.registry.guard = parts.registry.guard, lambda: None
    try:
        try:
            Credentials.load(identity, now())
        except CredentialError:
            renew_operator(parts.directory, parts.registry, now())
        settle_operator_key(parts.directory, parts.registry)
    finally:
        parts.registry.guard = guard
