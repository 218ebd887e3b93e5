import ssl

import pytest

from hanse.errors import ConfigError
from hanse.transport.client.connection import HttpsConnection


def connection(url: str = "https://aggregator.example.org:8443", proxy: str | None = None) -> HttpsConnection:
    return HttpsConnection(url, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxy=proxy)


@pytest.mark.parametrize(
    "url", ["", "aggregator:8443", "http://aggregator:8443", "https://", "https://a:port", "https://a/?q=1"]
)
def test_an_address_has_to_be_https(url: str) -> None:
    with pytest.raises(ConfigError, match="the aggregator's address is malformed"):
        connection(url)


@pytest.mark.parametrize(
    "proxy", ["socks5://user:secret@proxy", "https://secret", "http://", "http://u:secret@p:x"]
)
def test_a_proxy_has_to_be_http_and_its_password_stays_out_of_the_error(proxy: str) -> None:
    with pytest.raises(ConfigError, match="the address of the proxy is malformed") as caught:
        connection(proxy=proxy)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://a", "https://a:1/", "https://[::1]:8443", "https://a/behind/a/path"]
)
def test_the_slash_at_the_end_does_not_count(url: str) -> None:
    assert connection(url).url == url.rstrip("/")
