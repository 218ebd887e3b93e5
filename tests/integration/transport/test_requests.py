"""What a server answers to requests that no client of ours would send."""

import asyncio
import contextlib
import io
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.blobs import put
from tests.parties import (
    DATA,
    DIGEST,
    FakeService,
    Run,
    enrolled,
)

from hanse.core.values.identity import Role
from hanse.pki.authority import Authority
from hanse.pki.tls import client_context
from hanse.transport.server.server import ConnectionLimits, HttpsServer

VERSION = {"Hanse-Protocol": "3"}


def ask(server: HttpsServer, context: ssl.SSLContext, method: str, path: str, **options: Any) -> Any:
    """Send a request that no client of ours would; gives the status, the headers and the body."""
    options = {"headers": VERSION} | options

    async def scenario() -> tuple[int, Any, bytes]:
        url = f"https://localhost:{server.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, ssl=context, **options) as response,
        ):
            return response.status, response.headers, await response.read()

    return scenario()


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, b"states no version"),
        ({"Hanse-Protocol": "1, 1"}, b"states no version"),
        ({"Hanse-Protocol": "4"}, b"site hospital-a speaks protocol 4, and this aggregator 3"),
        ({"Hanse-Protocol": "5", "Hanse-Protocols": "4-5"}, b"speaks protocol 4-5, and this aggregator 3"),
        ({"Hanse-Protocol": "4", "Hanse-Protocols": "3-4"}, b"speaks protocol 3-4, and this aggregator 3"),
    ],
)
def test_a_request_of_another_version_is_refused_naming_both(
    run: Run, server: HttpsServer, context: ssl.SSLContext, stated: dict[str, str], told: bytes
) -> None:
    status, headers, body = run(ask(server, context, "GET", "/v1/hello", headers=stated))

    assert status == 426
    assert (headers["Hanse-Protocol"], headers["Hanse-Protocols"]) == ("3", "3")
    assert b'"error":"version"' in body
    assert told in body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/blobs/..%2f..%2fetc", 404),
        ("GET", "/v1/runs/UPPER", 404),
        ("PATCH", "/v1/hello", 405),
        ("POST", "/v1/hello", 405),
    ],
)
def test_what_is_no_request_of_the_api_is_refused(
    run: Run, server: HttpsServer, context: ssl.SSLContext, method: str, path: str, status: int
) -> None:
    found, headers, body = run(ask(server, context, method, path))

    assert found == status
    assert headers["Hanse-Protocol"] == "3"
    assert b"is not a request of this API" in body


@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_that_is_too_long_is_refused_whether_or_not_it_says_so(
    run: Run, server: HttpsServer, context: ssl.SSLContext, chunked: bool
) -> None:
    async def body() -> Any:
        for _ in range(40):
            yield b" " * (1 << 16)

    data = body() if chunked else io.BytesIO(b" " * (40 << 16))
    status, _, answer = run(ask(server, context, "POST", "/v1/progress", data=data))

    assert status == 400
    assert b"too long" in answer


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"run_id":"a"}', b'{"run_id":"a","exchange":1,"x":1}', b"\xff"]
)
def test_a_malformed_message_is_refused_saying_where(
    run: Run, server: HttpsServer, context: ssl.SSLContext, body: bytes
) -> None:
    status, _, answer = run(ask(server, context, "POST", "/v1/progress", data=body))

    assert status == 400
    assert b"malformed ProgressRequest: " in answer


@pytest.mark.parametrize("query", ["after=-1", "after=x", "wait_s=61", "other=1"])
def test_a_malformed_query_is_refused(
    run: Run, server: HttpsServer, authority: Authority, tmp_path: Path, query: str
) -> None:
    operator = client_context(enrolled(authority, tmp_path, "op", Role.OPERATOR))

    status, _, answer = run(ask(server, operator, "GET", f"/v1/runs/demo-1/events?{query}"))

    assert status == 400
    assert b"malformed EventsQuery" in answer


def test_a_body_that_does_not_come_is_not_waited_for(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    hasty = HttpsServer(service, aggregator, "127.0.0.1", limits=ConnectionLimits(idle_s=0.1))

    async def body() -> Any:
        yield b"{"
        await asyncio.sleep(60)

    run(hasty.start())
    status, _, answer = run(ask(hasty, context, "POST", "/v1/progress", data=body()))
    run(hasty.close())

    assert status == 503
    assert b"nothing came for 0.1 s" in answer


@pytest.mark.parametrize(
    "stated", ["", "bytes 0-3", "bytes 0-3/4", "bytes 5-4/9", "bytes 0-9/4", "bytes 9-0/4", "bytes */4"]
)
def test_an_upload_that_contradicts_itself_is_refused(
    run: Run, server: HttpsServer, context: ssl.SSLContext, stated: str
) -> None:
    headers = VERSION | {"Content-Range": stated}

    status, _, answer = run(
        ask(server, context, "PUT", f"/v1/blobs/{DIGEST}", data=b"12345", headers=headers)
    )

    assert status == 400
    assert b"Content-Range" in answer


def test_an_upload_that_begins_elsewhere_is_told_where_to_go_on(
    run: Run, server: HttpsServer, context: ssl.SSLContext, service: FakeService
) -> None:
    with contextlib.closing(service.blobs.write(DIGEST, "hospital-a", len(DATA))) as writer:
        writer.write(DATA[:10])
    headers = VERSION | {"Content-Range": f"bytes 5-9/{len(DATA)}"}

    status, _, answer = run(
        ask(server, context, "PUT", f"/v1/blobs/{DIGEST}", data=b"12345", headers=headers)
    )

    assert status == 409
    assert b"resumes at byte 10, not at 5" in answer


def test_a_part_of_an_upload_is_kept(
    run: Run, server: HttpsServer, context: ssl.SSLContext, service: FakeService
) -> None:
    headers = VERSION | {"Content-Range": f"bytes 0-4/{len(DATA)}"}

    status, _, answer = run(
        ask(server, context, "PUT", f"/v1/blobs/{DIGEST}", data=DATA[:5], headers=headers)
    )

    assert (status, answer) == (200, b'{"complete":false,"offset":5}')
    assert service.blobs.partial_size(DIGEST, "hospital-a") == 5


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=10-19", 206, DATA[10:20]),
        ("bytes=-5", 206, DATA[-5:]),
        (f"bytes={len(DATA) - 1}-", 206, DATA[-1:]),
        (f"bytes={len(DATA)}-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=0-1,4-5", 200, DATA),
        ("lines=1-2", 200, DATA),
    ],
)
def test_a_part_of_a_blob_is_sent(
    run: Run,
    server: HttpsServer,
    context: ssl.SSLContext,
    service: FakeService,
    wanted: str,
    status: int,
    part: bytes,
) -> None:
    put(service.blobs, DATA)

    found, headers, body = run(
        ask(server, context, "GET", f"/v1/blobs/{DIGEST}", headers=VERSION | {"Range": wanted})
    )

    assert (found, body) == (status, part)
    assert headers["ETag"] == f'"{DIGEST}"'


def test_the_size_of_a_blob_is_told_without_it(
    run: Run, server: HttpsServer, context: ssl.SSLContext, service: FakeService
) -> None:
    put(service.blobs, DATA)

    status, headers, body = run(ask(server, context, "HEAD", f"/v1/blobs/{DIGEST}"))

    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")


def test_the_api_describes_itself(run: Run, server: HttpsServer, context: ssl.SSLContext) -> None:
    status, headers, body = run(ask(server, context, "GET", "/v1/openapi.json"))

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert b'"openapi": "3.1.0"' in body
