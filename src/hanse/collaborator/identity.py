"""The site's identity while its agent runs: renewed before its certificate ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.keys import new_key
from hanse.transport.base import Upstream
from hanse.wire.messages.members import RenewRequest

logger = logging.getLogger(__name__)


class Identity:
    """A party's credentials, always the present ones.

    Args:
        credentials: What the agent starts with.
        renew_at: Part of the certificate's life, above 0 and below 1, that is left when it is renewed.
        clock: Tells the time, with its zone.
        present: Has the upstream show new credentials from its next connection on.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        renew_at: float,
        clock: Callable[[], datetime],
        present: Callable[[Credentials], None],
    ) -> None:
        self.credentials = credentials
        self._renew_at = renew_at
        self._clock = clock
        self._present = present

    @property
    def site(self) -> str:
        """The site's name."""
        return self.credentials.party.name

    @property
    def federation(self) -> str:
        """Name of the federation."""
        return self.credentials.party.federation

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
