"""Requests that all parties make: who is there, and blobs."""

from __future__ import annotations

from hanse.transport.api.route import ANYONE, PARTIES, Bulk, Call, Route
from hanse.wire.messages.basics import BlobState, Empty, Hello


async def _hello(call: Call[Empty]) -> Hello:
    return call.service.hello()


async def _blob_state(call: Call[Empty]) -> BlobState:
    return call.service.blob_requests.blob_state(call.peer, call.params["digest"])


HELLO = Route("GET", "/v1/hello", "Who is answering here.", ANYONE, Empty, Hello, _hello)
OPENAPI = Bulk("GET", "/v1/openapi.json", "This description.", PARTIES, "application/json")
BLOB = Bulk("GET", "/v1/blobs/{digest}", "A blob, or with Range a part of it.", PARTIES)
BLOB_HEAD = Bulk("HEAD", "/v1/blobs/{digest}", "The size of a blob.", PARTIES)
UPLOAD = Bulk(
    "PUT", "/v1/blobs/{digest}", "Upload the next part of a blob, which Content-Range names.", PARTIES
)
UPLOAD_STATE = Route(
    "GET", "/v1/uploads/{digest}", "How much of an upload is here.", PARTIES, Empty, BlobState, _blob_state
)
