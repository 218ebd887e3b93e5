import json
import re
from typing import Any

from hanse.transport.api.openapi import openapi, openapi_json
from hanse.transport.api.routes import ROUTES


def references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


def test_every_request_is_described() -> None:
    described = {(method.upper(), path) for path, methods in openapi()["paths"].items() for method in methods}

    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_schema_that_is_named_is_there_and_every_one_there_is_named() -> None:
    document = openapi()

    assert references(document) == set(document["components"]["schemas"])


def test_who_may_ask_is_said() -> None:
    paths = openapi()["paths"]

    assert paths["/v1/next"]["post"]["description"] == "For role collaborator."
    assert paths["/v1/next"]["post"]["security"] == [{"certificate": []}]
    assert paths["/v1/hello"]["get"]["security"] == []


def test_the_path_the_query_and_the_version_are_parameters() -> None:
    parameters = openapi()["paths"]["/v1/runs/{run_id}/events"]["get"]["parameters"]

    assert [(parameter["in"], parameter["name"]) for parameter in parameters] == [
        ("header", "Hanse-Protocol"),
        ("header", "Hanse-Protocols"),
        ("path", "run_id"),
        ("query", "after"),
        ("query", "wait_s"),
    ]


def test_a_blob_may_be_asked_for_in_part() -> None:
    responses = openapi()["paths"]["/v1/blobs/{digest}"]["get"]["responses"]

    assert set(responses) == {"200", "206", "416", "default"}


def test_what_is_served_is_the_description() -> None:
    assert json.loads(openapi_json()) == openapi()
