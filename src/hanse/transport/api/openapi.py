"""The API as an OpenAPI 3.1 document, made from the table of routes and the messages' schemas."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hanse.core.values.schema import Strict
from hanse.transport.api.route import AnyRoute, Bulk, Route
from hanse.transport.api.routes import PATTERNS, ROUTES
from hanse.wire.messages.basics import BlobState, Empty, ErrorReply
from hanse.wire.protocol import PROTOCOL_HEADER, RANGE_HEADER, SPOKEN

_BINARY = {"type": "string", "format": "binary"}
_VERSIONS = (
    {
        "name": PROTOCOL_HEADER,
        "in": "header",
        "required": True,
        "description": "Version of the protocol that the request is written in; so is the reply.",
        "schema": {"enum": [str(version) for version in range(SPOKEN.oldest, SPOKEN.newest + 1)]},
    },
    {
        "name": RANGE_HEADER,
        "in": "header",
        "required": False,
        "description": "All versions that the sender speaks, such as 1-3; replies state the aggregator's.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,6}(-[0-9]{1,6})?$"},
    },
)


def openapi() -> dict[str, Any]:
    """Describe the API."""
    messages: set[type[Strict]] = {ErrorReply, BlobState}
    for route in ROUTES:
        if isinstance(route, Route):
            messages |= {route.reply, route.request} if route.has_body else {route.reply}
    inputs: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (message, "validation") for message in sorted(messages, key=lambda message: message.__name__)
    ]
    _, schemas = models_json_schema(inputs, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hanse aggregator", "version": str(SPOKEN.newest)},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"certificate": {"type": "mutualTLS"}},
        },
    }


@cache
def openapi_json() -> bytes:
    """The description as it is served."""
    return json.dumps(openapi(), indent=1, sort_keys=True).encode()


def _operation(route: AnyRoute) -> dict[str, Any]:
    who = " or ".join(f"role {role}" for role in sorted(route.roles)) or "anyone, without a certificate"
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": f"For {who}.",
        "security": [{"certificate": []}] if route.roles else [],
        "parameters": [*_VERSIONS, *_path_parameters(route.path)],
        "responses": {"default": {"description": "Refused.", "content": _json(ErrorReply.__name__)}},
    }
    if isinstance(route, Bulk):
        _describe_bulk(route, operation)
        return operation
    operation["responses"]["200"] = {"description": "Done.", "content": _json(route.reply.__name__)}
    if route.has_body:
        operation["requestBody"] = {"required": True, "content": _json(route.request.__name__)}
    elif route.request is not Empty:
        query = route.request.model_json_schema()["properties"]
        operation["parameters"] += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in query.items()
        ]
    return operation


def _describe_bulk(route: Bulk, operation: dict[str, Any]) -> None:
    content = {route.media: {"schema": _BINARY}}
    responses = operation["responses"]
    match route.method:
        case "PUT":
            operation["parameters"].append(_header("Content-Range", required=True))
            operation["requestBody"] = {"required": True, "content": content}
            responses["200"] = {"description": "Kept, more is wanted.", "content": _json(BlobState.__name__)}
            responses["201"] = {"description": "Complete.", "content": _json(BlobState.__name__)}
        case "HEAD":
            responses["200"] = {"description": "It is here."}
        case _:
            responses["200"] = {"description": "All of it.", "content": content}
            if "{digest}" in route.path:
                operation["parameters"].append(_header("Range", required=False))
                responses["206"] = {"description": "The part asked for.", "content": content}
                responses["416"] = {"description": "The blob ends before that part."}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{pattern}$"},
        }
        for name, pattern in PATTERNS.items()
        if f"{{{name}}}" in path
    ]


def _header(name: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}


def _json(message: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{message}"}}}
