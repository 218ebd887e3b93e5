"""Identity of a party while its agent or a command runs: signing key, and certificate that is renewed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.pki.signing_key_files import key_to_use, note_step, own_keys, put_in_place
from hanse.transport.base import Upstream
from hanse.wire.messages.members import RenewRequest, SigningKeyRequest

logger = logging.getLogger(__name__)


class Identity:
    """A party's signing key and its credentials, always the present ones.

    Args:
        credentials: What the agent starts with.
        renew_at: Part of the certificate's life, above 0 and below 1, that is left when it is renewed.
        clock: Tells the time, with its zone.
        present: Has the upstream show new credentials from its next connection on.
        signing_key: The party's signing key, where it is known already that the aggregator has recorded it.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        renew_at: float,
        clock: Callable[[], datetime],
        present: Callable[[Credentials], None],
        signing_key: SigningKey | None = None,
    ) -> None:
        self.credentials = credentials
        self._renew_at = renew_at
        self._clock = clock
        self._present = present
        self._signing_key = signing_key

    @property
    def site(self) -> str:
        """The site's name."""
        return self.credentials.party.name

    @property
    def federation(self) -> str:
        """Name of the federation."""
        return self.credentials.party.federation

    @property
    def signing_key(self) -> SigningKey:
        """The key with which the party signs, once `settle_signing_key` has found it."""
        assert self._signing_key is not None
        return self._signing_key

    def own_keys(self) -> frozenset[str]:
        """Fingerprints of the signing key and of those that it has replaced.

        Raises:
            StorageError: The folder cannot be read.
        """
        return own_keys(self.credentials.directory, self.credentials.party)

    async def settle_signing_key(self, upstream: Upstream) -> None:
        """Use the signing key that the aggregator has recorded; one of a folder of before 0.2 is made now.

        Raises:
            CredentialError: The key is missing, damaged or another than the one recorded; says how the party
                gets another.
            StorageError: The folder cannot be written.
        """
        identity, party = self.credentials.directory, self.credentials.party
        recorded = (await upstream.signing_key()).fingerprint
        key = key_to_use(identity, recorded)
        if recorded is None:
            await upstream.record_signing_key(SigningKeyRequest(enrolment=enrolment_of(key, party)))
            note_step("recorded")
            logger.warning(
                "this party has a signing key from now on, in %s: %s. In words, which the operator can "
                "compare by telephone with `hanse federation members --keys`: %s",
                *(identity, key.fingerprint, key.words),
            )
        put_in_place(identity, key)
        self._signing_key = key

    def renewal_due_s(self) -> float:
        """Seconds until the certificate is to be renewed; 0 where that is due."""
        return self.credentials.lasts_s(self._clock(), down_to=self._renew_at)

    async def renew_if_due(self, upstream: Upstream) -> None:
        """Get the next certificate, for a new key, where the present one nears its end.

        Raises:
            CredentialError: The site was removed, or what came is not its certificate.
        """
        if self.credentials.fraction_left(self._clock()) >= self._renew_at:
            return
        logger.info("asking for the next certificate; this one ends on %s", self.credentials.not_after)
        key = new_key()
        request = RenewRequest(csr=request_certificate(key, self.credentials.party))
        reply = await upstream.renew(request)
        self.credentials = self.credentials.replace_certificate(reply.certificate, self._clock(), key)
        self._present(self.credentials)
        logger.info("the certificate was renewed; it ends on %s", self.credentials.not_after)
