"""How an aggregator is reached: its address, the proxy on the way, and how long to wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from hanse.errors import ConfigError

FROM_ENVIRONMENT = "env"
"""As a proxy: what HTTPS_PROXY and NO_PROXY say."""
HEADERS = {"User-Agent": "hanse", "Accept-Encoding": "identity"}
"""What every request states."""
REST_S = 30.0
"""How long a connection may wait for the next request; less than `Limits.keepalive_s` of the server."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an aggregator.

    Attributes:
        connect_s: For a connection: name, proxy, TCP and TLS together.
        idle_s: For the next bytes, and for a whole message on top of what a long poll waits.
    """

    connect_s: float = 10.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Of an aggregator.

    Attributes:
        url: `https://HOST[:PORT][/PATH]`, without a slash at the end.
        proxy: `http://[USER:PASSWORD@]HOST:PORT` of the proxy on the way, if there is one.
    """

    url: str
    proxy: URL | None

    @classmethod
    def read(cls, url: str, proxy: str | None) -> Self:
        """Read it from settings.

        Args:
            url: `https://HOST[:PORT]`.
            proxy: `http://[USER:PASSWORD@]HOST:PORT`, `"env"` for what the environment says, None for none.

        Raises:
            ConfigError: One of them is malformed.
        """
        address = _read(url.rstrip("/"), "https", "the aggregator's address")
        if proxy == FROM_ENVIRONMENT:
            exempt = proxy_bypass(f"{address.host}:{address.port}")
            proxy = None if exempt else getproxies().get("https")
        if not proxy:
            return cls(url.rstrip("/"), None)
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        return cls(url.rstrip("/"), _read(proxy, "http", "the address of the proxy"))

    @property
    def shown_proxy(self) -> str | None:
        """The proxy as errors may show it: without its password."""
        return str(self.proxy.with_user(None)) if self.proxy else None

    def of(self, path: str) -> URL:
        """The URL of something on the aggregator.

        Args:
            path: As it is to be sent, escaped.
        """
        return URL(self.url + path, encoded=True)


def _read(text: str, scheme: str, name: str) -> URL:
    try:
        address = URL(text)
        good = address.scheme == scheme and address.host and not address.query_string
    except ValueError:
        good = False
    if not good:
        # Not quoted: it may hold a password.
        raise ConfigError(f"{name} is malformed", mend=f"Write it as {scheme}://HOST:PORT.")
    return address
