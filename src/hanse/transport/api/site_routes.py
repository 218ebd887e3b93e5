"""Requests of a site about its work."""

from __future__ import annotations

from hanse.core.values.roster import RosterProof
from hanse.transport.api.route import SITES, Route
from hanse.wire.messages.basics import Empty
from hanse.wire.messages.evidence import AttestReply, AttestRequest
from hanse.wire.messages.sites import (
    AnswerRequest,
    JournalHeadReply,
    JournalHeadRequest,
    NextRequest,
    ProgressRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ResultReply,
    ResultRequest,
    Work,
)
from hanse.wire.messages.sums import SumReadyRequest, SumRoster

NEXT = Route(
    "POST",
    "/v1/next",
    "Wait until the site's work differs from what it knows.",
    SITES,
    NextRequest,
    Work,
    lambda call: call.service.site_requests.next(call.peer, call.message),
    waits=True,
)
ANSWER = Route(
    "POST",
    "/v1/answers",
    "Submit a site's signed answer to a plan; a repetition is accepted.",
    SITES,
    AnswerRequest,
    Empty,
    lambda call: call.service.site_requests.answer(call.peer, call.message),
)
RESULT = Route(
    "POST",
    "/v1/results",
    "Submit the signed outcome of a task; durable once answered, a repetition is accepted.",
    SITES,
    ResultRequest,
    ResultReply,
    lambda call: call.service.site_requests.result(call.peer, call.message),
)
PROGRESS = Route(
    "POST",
    "/v1/progress",
    "Say that a task is under way.",
    SITES,
    ProgressRequest,
    Empty,
    lambda call: call.service.site_requests.progress(call.peer, call.message),
)
ROSTER = Route(
    "GET",
    "/v1/rosters/{digest}",
    "A site's place in the roster of an exchange that asks it.",
    SITES,
    Empty,
    RosterProof,
    lambda call: call.service.site_requests.roster(call.peer, call.params["digest"]),
)
SUM_READY = Route(
    "POST",
    "/v1/sum-ready",
    "State a site's READY for a masked sum; durable once answered, a repetition is accepted.",
    SITES,
    SumReadyRequest,
    Empty,
    lambda call: call.service.site_requests.sum_ready(call.peer, call.message),
)
SUM_ROSTER = Route(
    "GET",
    "/v1/sum-rosters/{digest}",
    "The READYs of a cell, for its members.",
    SITES,
    Empty,
    SumRoster,
    lambda call: call.service.site_requests.sum_roster(call.peer, call.params["digest"]),
)
ATTEST = Route(
    "POST",
    "/v1/attest",
    "Take a step of an exchange of evidence with the aggregator, where a run's plan asks for evidence.",
    SITES,
    AttestRequest,
    AttestReply,
    lambda call: call.service.site_requests.attest(call.peer, call.message),
)
JOURNAL_HEAD = Route(
    "POST",
    "/v1/journal-head",
    "State the last record of the site's journal, and ask for the latest that was heard of.",
    SITES,
    JournalHeadRequest,
    JournalHeadReply,
    lambda call: call.service.site_requests.journal_head(call.peer, call.message),
)
RECEIPTS = Route(
    "POST",
    "/v1/receipts",
    "Show the last receipts that the site holds, and get one of the membership.",
    SITES,
    ReceiptsRequest,
    ReceiptsReply,
    lambda call: call.service.site_requests.receipts(call.peer, call.message),
)
