import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.transport.api.route import AnyRoute, Route, expand
from hanse.transport.api.routes import PATTERNS, ROUTES, find
from hanse.transport.api.run_routes import EVENTS
from hanse.transport.base import Upstream
from hanse.transport.service import MemberHandler, Service, SiteHandler

DIGEST = "0" * 64
PARAMS = {"digest": DIGEST, "run_id": "demo-1", "name": "hospital-a"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_found_where_clients_look_for_it(route: AnyRoute) -> None:
    params = {name: value for name, value in PARAMS.items() if f"{{{name}}}" in route.path}

    routes, found = find(expand(route.path, params))

    assert routes[route.method] is route
    assert found == params


def test_no_two_routes_are_the_same_request() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_only_hello_the_authority_and_enrolment_are_open_to_anyone() -> None:
    assert {route.path for route in ROUTES if not route.roles} == {"/v1/hello", "/v1/authority", "/v1/enrol"}


def test_only_long_polls_wait() -> None:
    waiting = [route.path for route in ROUTES if isinstance(route, Route) and route.waits]

    assert waiting == ["/v1/next", EVENTS.path]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1", "/v1/hello/", "/v1/blobs/" + "0" * 63, "/v1/blobs/" + "A" * 64, "/v1/openapi_json"],
)
def test_another_path_is_none(path: str) -> None:
    assert find(path) == ({}, {})


@given(st.sampled_from(sorted(PATTERNS)), st.text())
def test_no_parameter_reaches_another_route(name: str, value: str) -> None:
    route = next(route for route in ROUTES if route.path.endswith(f"{{{name}}}"))

    routes, params = find(expand(route.path, {name: value}))

    assert not routes or (routes[route.method] is route and params == {name: value})


def test_what_a_collaborator_can_ask_is_what_a_service_answers() -> None:
    local = {"fetch", "deliver", "close"}
    asked = {name for name in vars(Upstream) if not name.startswith("_")} - local

    parts = (Service, SiteHandler, MemberHandler)
    assert asked <= {name for part in parts for name in vars(part) if not name.startswith("_")}
