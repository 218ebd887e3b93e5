"""Tells a peer why its certificate is refused, which asyncio and uvloop do not."""

from __future__ import annotations

import logging
import ssl

logger = logging.getLogger(__name__)


class TellingSSLObject(ssl.SSLObject):
    """A server's side of a handshake that lets its alert out before it fails.

    The event loops drop a connection as soon as a handshake fails, and with it the
    alert that names the reason: the peer would see no more than a reset, and try for
    ever. Here the failure is first given out as a wish to read more, upon which they
    send what is waiting, and is raised when the peer says more or hangs up.
    """

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """See `ssl.SSLObject.do_handshake`."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            logger.warning("refused a TLS handshake: %s", error)
            self._failure = error
            raise ssl.SSLWantReadError from error
