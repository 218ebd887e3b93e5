"""Which version of the protocol is spoken to an aggregator, and whether it is one that answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hanse.errors import TransportError
from hanse.transport.client.errors import not_hanse
from hanse.wire import protocol
from hanse.wire.protocol import PROTOCOL_HEADER, Versions, disagreement, read_headers

_UPGRADE = 426
"""What an aggregator answers that does not speak the version that it is asked in."""
_BUSY = frozenset({429, 502, 503, 504})
"""What a proxy in front of an aggregator answers while that is away."""


class NegotiatedVersion:
    """The version that is spoken to one aggregator.

    Args:
        url: The aggregator's address, for errors.
        spoken: Versions that this end speaks.
    """

    def __init__(self, url: str, spoken: Versions) -> None:
        self._url = url
        self._spoken = spoken
        self.version = spoken.newest

    @property
    def older(self) -> int | None:
        """The version, where it is not the newest that is spoken at this end."""
        return None if self.version == self._spoken.newest else self.version

    def headers(self) -> dict[str, str]:
        """What a request states."""
        return protocol.headers(self.version, self._spoken)

    def learn_from_reply(self, status: int, headers: Mapping[str, str], asked_in: int) -> bool:
        """Learn from a reply what the aggregator speaks.

        Args:
            status: Of the reply.
            headers: Of the reply, by name whatever its case.
            asked_in: Version of the request.

        Returns:
            False where it has to be asked again, in what is the version now.

        Raises:
            ProtocolError: Somebody else answers.
            VersionError: There is no version that both speak.
            TransportError: Somebody in front of it says that it is away.
        """
        if PROTOCOL_HEADER not in headers:
            if status in _BUSY:
                raise TransportError(
                    f"something in front of {self._url} answered {status}",
                    mend="Is the aggregator running?",
                )
            raise not_hanse(self._url, f"status {status} without {PROTOCOL_HEADER}")
        stated = read_headers(headers)
        if stated is None:
            raise not_hanse(self._url, f"{PROTOCOL_HEADER} {headers[PROTOCOL_HEADER][:20]!r}")
        _, theirs = stated
        common = self._spoken.common(theirs)
        if common is None:
            raise disagreement(self._spoken, theirs, "this end", self._url)
        self.version = common  # for what is asked from now on, too
        return status != _UPGRADE or common == asked_in

    def accepts(self, status: int, accept: Collection[int]) -> bool:
        """Whether a reply is what was asked for; False where its body says why not.

        Raises:
            ProtocolError: It is neither.
        """
        if status in accept:
            return True
        if status < 400:
            raise not_hanse(self._url, f"status {status}")
        return False
