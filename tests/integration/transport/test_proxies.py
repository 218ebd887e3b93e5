"""Clients behind a proxy."""

from functools import partial

import pytest
from tests.network import Relay, answer_with, serving
from tests.parties import (
    PROGRESS,
    Connect,
    FakeService,
    Run,
)

from hanse.errors import (
    ConfigError,
    HanseError,
    TransportError,
)
from hanse.transport.server.server import HttpsServer


def test_requests_go_through_a_proxy(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(server.port)

    async def scenario() -> None:
        async with serving(relay.proxy) as port:
            await connect(server.port, proxy=f"http://user:pass@127.0.0.1:{port}").progress(PROGRESS)
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
            await connect(server.port, proxy="env").progress(PROGRESS)
            monkeypatch.setenv("NO_PROXY", "example.org,localhost")
            await connect(server.port, proxy="env").progress(PROGRESS)

    run(scenario())
    assert relay.proxied == [f"CONNECT localhost:{server.port} HTTP/1.1"] * 2
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ConfigError),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ConfigError),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", TransportError),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(
    run: Run, connect: Connect, reply: bytes, kind: type[HanseError]
) -> None:
    async def scenario() -> None:
        async with serving(partial(answer_with, reply)) as port:
            await connect(1, proxy=f"http://user:secret@127.0.0.1:{port}").hello()

    with pytest.raises(kind, match=r"the proxy http://127.0.0.1:\d+/? answered 4|answered 5") as caught:
        run(scenario())
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_away_is_named(run: Run, connect: Connect) -> None:
    with pytest.raises(TransportError, match=r"the proxy http://127.0.0.1:9/? cannot be reached"):
        run(connect(1, proxy="http://127.0.0.1:9").hello())
