"""Requests about members."""

from __future__ import annotations

from hanse.transport.api.route import ANYONE, OPERATORS, PARTIES, Bulk, Route
from hanse.wire.messages.basics import Empty
from hanse.wire.messages.members import (
    AcknowledgeRequest,
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Members,
    PeerKeys,
    PeersQuery,
    RemoveRequest,
    RenewRequest,
    RestoreReply,
    SigningKeyReply,
    SigningKeyRequest,
    SignRequest,
)

AUTHORITY = Bulk("GET", "/v1/authority", "The federation's CA certificate.", ANYONE, "application/x-pem-file")
ENROL = Route(
    "POST",
    "/v1/enrol",
    "Trade a one-time token for a certificate.",
    ANYONE,
    EnrolRequest,
    Certificates,
    lambda call: call.service.member_requests.enrol(call.message),
)
RENEW = Route(
    "POST",
    "/v1/renew",
    "Get the next certificate.",
    PARTIES,
    RenewRequest,
    Certificates,
    lambda call: call.service.member_requests.renew(call.peer, call.message),
)
SIGNING_KEY = Route(
    "GET",
    "/v1/signing-key",
    "The signing key that is recorded for the party that asks.",
    PARTIES,
    Empty,
    SigningKeyReply,
    lambda call: call.service.member_requests.signing_key(call.peer),
)
RECORD_SIGNING_KEY = Route(
    "POST",
    "/v1/signing-key",
    "Record a party's signing key: the first one, or the next one with the signature of the present one.",
    PARTIES,
    SigningKeyRequest,
    SigningKeyReply,
    lambda call: call.service.member_requests.record_signing_key(call.peer, call.message),
)
PEERS = Route(
    "GET",
    "/v1/peers",
    "The sites of the federation with their signing keys, for sites that check each other's by telephone.",
    PARTIES,
    PeersQuery,
    PeerKeys,
    lambda call: call.service.member_requests.peers(call.peer, call.message),
)
MEMBERS = Route(
    "GET",
    "/v1/members",
    "The parties ever enrolled.",
    OPERATORS,
    Empty,
    Members,
    lambda call: call.service.member_requests.members(call.peer),
)
SIGN = Route(
    "POST",
    "/v1/members",
    "Enrol a party from a request that was carried by hand.",
    OPERATORS,
    SignRequest,
    Certificates,
    lambda call: call.service.member_requests.sign(call.peer, call.message),
)
REMOVE = Route(
    "DELETE",
    "/v1/members/{name}",
    "Take a party off the allow list, at once.",
    OPERATORS,
    RemoveRequest,
    Members,
    lambda call: call.service.member_requests.remove(call.peer, call.params["name"], call.message),
)
INVITE = Route(
    "POST",
    "/v1/invitations",
    "Make a one-time token.",
    OPERATORS,
    InviteRequest,
    InviteReply,
    lambda call: call.service.member_requests.invite(call.peer, call.message),
)
RESTORE = Route(
    "GET",
    "/v1/restore",
    "Whether the aggregator waits for an operator, because it was restored from a backup.",
    OPERATORS,
    Empty,
    RestoreReply,
    lambda call: call.service.member_requests.restore(call.peer),
)
ACKNOWLEDGE = Route(
    "POST",
    "/v1/restore",
    "Acknowledge that the aggregator was restored from a backup.",
    OPERATORS,
    AcknowledgeRequest,
    Empty,
    lambda call: call.service.member_requests.acknowledge(call.peer, call.message),
)
