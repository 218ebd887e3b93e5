"""Requests of operators about runs."""

from __future__ import annotations

from pydantic import Field

from hanse.core.values.schema import Strict
from hanse.transport.api.route import OPERATORS, Bulk, Route
from hanse.wire.messages.basics import MAX_WAIT_S, Empty
from hanse.wire.messages.runs import AdmitRequest, EventsReply, Runs, RunStatus, StopRequest, SubmitRequest


class EventsQuery(Strict):
    """Which records of a run's journal are wanted; stands in the query string.

    Attributes:
        after: Sequence number of the last record that is known already.
        wait_s: Longest to wait for one where there is none.
    """

    after: int = Field(0, ge=0)
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S)


RUNS = Route(
    "GET",
    "/v1/runs",
    "All runs, newest first.",
    OPERATORS,
    Empty,
    Runs,
    lambda call: call.service.run_requests.runs(call.peer),
)
SUBMIT = Route(
    "POST",
    "/v1/runs",
    "Begin a run of a plan that was uploaded.",
    OPERATORS,
    SubmitRequest,
    RunStatus,
    lambda call: call.service.run_requests.submit(call.peer, call.message),
)
RUN = Route(
    "GET",
    "/v1/runs/{run_id}",
    "A run as it stands.",
    OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.run_requests.run(call.peer, call.params["run_id"]),
)
EVENTS = Route(
    "GET",
    "/v1/runs/{run_id}/events",
    "Wait for records of a run's journal.",
    OPERATORS,
    EventsQuery,
    EventsReply,
    lambda call: call.service.run_requests.events(
        call.peer, call.params["run_id"], call.message.after, call.message.wait_s
    ),
    waits=True,
)
STOP = Route(
    "POST",
    "/v1/runs/{run_id}/stop",
    "End a run.",
    OPERATORS,
    StopRequest,
    RunStatus,
    lambda call: call.service.run_requests.stop(call.peer, call.params["run_id"], call.message),
)
RESUME = Route(
    "POST",
    "/v1/runs/{run_id}/resume",
    "Take a stopped or failed run up again.",
    OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.run_requests.resume(call.peer, call.params["run_id"]),
)
REINSTATE = Route(
    "POST",
    "/v1/runs/{run_id}/sites/{name}/reinstate",
    "Reinstate a suspended site from the next round.",
    OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.run_requests.reinstate(call.peer, call.params["run_id"], call.params["name"]),
)
ADMIT = Route(
    "POST",
    "/v1/runs/{run_id}/sites/{name}/admit",
    "Permit that another instance of a site gets the keys of a sealed run, once.",
    OPERATORS,
    AdmitRequest,
    RunStatus,
    lambda call: call.service.run_requests.admit(
        call.peer, call.params["run_id"], call.params["name"], call.message
    ),
)
EXPORT = Bulk(
    "GET", "/v1/runs/{run_id}/export", "A run's journal with its seal.", OPERATORS, "application/x-ndjson"
)
