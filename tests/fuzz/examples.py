"""A valid example of every message."""

from __future__ import annotations

from typing import Any

from hanse.core.values.roster import RosterProof
from hanse.core.values.schema import Strict
from hanse.transport.api.run_routes import EventsQuery
from hanse.wire.messages.basics import BlobState, Empty, ErrorReply, Hello
from hanse.wire.messages.members import (
    AcknowledgeRequest,
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Member,
    Members,
    RemoveRequest,
    RenewRequest,
    RestoreReply,
    SigningKeyReply,
    SigningKeyRequest,
    SignRequest,
)
from hanse.wire.messages.runs import (
    AwaitedSite,
    EventsReply,
    ExchangeAttendance,
    JournalRecord,
    Runs,
    RunStatus,
    StartWait,
    StopRequest,
    SubmitRequest,
    SuspendedSite,
)
from hanse.wire.messages.sites import (
    AnswerRequest,
    Assignment,
    GroupFile,
    JournalHeadReply,
    JournalHeadRequest,
    ModelDelta,
    NextRequest,
    PlanAnswer,
    ProgressRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ResultReply,
    ResultRequest,
    RunSuspension,
    RunWork,
    TaskOutcome,
    UpdateFile,
    Work,
)

D = "0" * 64
MEMBER = {
    "name": "a",
    "role": "collaborator",
    "removed": False,
    "seen_ms": 5,
    "not_after_ms": 9,
    "signing_key": D,
    "key_at_enrolment": True,
}
AWAITED = {
    "site": "a",
    "task": "train",
    "state": "assigned",
    "since_ms": 1,
    "deadline_ms": 2,
    "connected": True,
}
ATTENDANCE = {
    "exchange": 1,
    "round_number": 1,
    "task": "train",
    "cause": "grace",
    "asked": 4,
    "answered": 1,
    "absent": 4,
    "failed": {"b": "out of memory"},
    "idle": ["c"],
    "unanswered": ["d"],
    "late": {"d": 5},
    "suspended": ["e"],
    "num_examples": 10,
    "missing_examples": 5,
    "missing_share": 0.5,
    "unknown": ["c"],
    "unknown_count": 1,
    "tolerated": 0.2,
    "too_little": True,
}
SUSPENDED = {
    "site": "e",
    "reason": "it failed",
    "round_number": 1,
    "since_ms": 5,
    "reinstatement_round": 12,
    "reinstatement_ms": None,
}
START = {
    "accepted": 1,
    "needed": 3,
    "asked": 4,
    "unanswered": 3,
    "until_ms": 90_000,
    "absent": ["d"],
    "absent_count": 1,
    "absent_until_ms": 60_000,
}
STATUS = {
    "run_id": "demo-1",
    "plan_name": "demo",
    "plan_digest": D,
    "phase": "running",
    "reason": "",
    "rounds": 2,
    "rounds_committed": 1,
    "round_open": 2,
    "submitted_by": "op",
    "submitted_ms": 1,
    "population": 2,
    "error": "quorum",
    "start": START,
    "answers": {"a": "accepted"},
    "answer_counts": {"accepted": 1},
    "awaited": [AWAITED],
    "model": D,
    "best_round": 1,
    "best_model": D,
    "metrics": {"loss": 0.5},
    "attendance": [ATTENDANCE],
    "short_rounds": 1,
    "suspended": [SUSPENDED],
    "held": True,
    "events": 3,
}
RECORD = {
    "stream": "demo-1",
    "sequence": 1,
    "time_ms": 5,
    "kind": "RoundOpened",
    "body": {"round_number": 1, "cohort": ["a"], "population": ["a"]},
    "previous": D,
    "digest": "1" * 64,
}
ASSIGNMENT: dict[str, Any] = {
    "exchange": 1,
    "round_number": 1,
    "task": "train",
    "model": D,
    "model_bytes": 10,
    "max_update_bytes": 10,
    "deadline_ms": 5,
    "roster": D,
    "delta": {"base": "1" * 64, "digest": "2" * 64, "size": 5},
    "groups": {"control": {"digest": "3" * 64, "size": 5}},
    "settings": {"lr": 0.5, "depth": 3},
    "cells": ["north"],
}
SUSPENSION = {"reason": "it failed", "reinstatement_round": None, "reinstatement_ms": 5}
WORK = {
    "run_id": "demo-1",
    "plan_digest": D,
    "plan_bytes": 10,
    "review": True,
    "progress_s": 10.0,
    "suspension": SUSPENSION,
    "assignments": [ASSIGNMENT],
}
ANSWER = {
    "federation": "north",
    "site": "a",
    "plan_digest": D,
    "accepted": True,
    "reasons": ["by rule"],
    "decided_ms": 5,
    "signer": D,
}
HEAD = {"generation": 0, "sequence": 2, "digest": D}
OUTCOME = {
    "federation": "north",
    "site": "a",
    "run_id": "demo-1",
    "plan_digest": D,
    "exchange": 1,
    "round_number": 1,
    "task": "train",
    "model": D,
    "outcome": "done",
    "num_examples": 5,
    "metrics": {"loss": 0.5},
    "update": {"digest": D, "size": 10},
    "reason": "",
    "log_tail": "",
    "journal": HEAD,
    "roster": D,
    "groups": {"control": "3" * 64},
    "settings": {"lr": 0.5, "depth": 3},
    "cells": ["north"],
}
STATEMENT = {"body": OUTCOME, "key": "AAAA", "signature": "AAAA"}
ENROLMENT = {
    "body": {"federation": "north", "role": "collaborator", "name": "a", "key": "AAAA"},
    "key": "AAAA",
    "signature": "AAAA",
}

RECORDED = {"sequence": 2, "digest": D}
RECEIPT = {
    "body": {
        "federation": "north",
        "site": "a",
        "members": RECORDED,
        "restored": RECORDED,
        "received": {
            "run_id": "demo-1",
            "exchange": 1,
            "outcome": D,
            "journal": RECORDED,
            "known": RECORDED,
        },
        "time_ms": 5,
    },
    "certificate": "PEM",
    "signature": "AAAA",
}
LOST = {"stream": "demo-1", "heard": RECORDED, "own": None, "site": "a"}
NOTICE = {"lost": LOST, "receipt": RECEIPT, "noticed_ms": 5}
MESSAGES: dict[type[Strict], dict[str, Any]] = {
    Hello: {"service": "hanse", "protocol": 3, "version": "1", "federation": "north", "time_ms": 5},
    EnrolRequest: {"token": "hanse1.a.b", "csr": "PEM", "enrolment": ENROLMENT},
    RenewRequest: {"csr": "PEM"},
    Certificates: {"certificate": "PEM", "authority": "PEM"},
    NextRequest: {"known": "1", "wait_s": 30.0},
    ModelDelta: ASSIGNMENT["delta"],
    GroupFile: ASSIGNMENT["groups"]["control"],
    Assignment: ASSIGNMENT,
    RunWork: WORK,
    Work: {"version": "1", "runs": [WORK], "restored": RECORDED},
    PlanAnswer: ANSWER,
    UpdateFile: {"digest": D, "size": 10},
    TaskOutcome: OUTCOME,
    AnswerRequest: {"run_id": "demo-1", "statement": STATEMENT},
    ResultRequest: {"statement": STATEMENT, "receipt": RECEIPT},
    ResultReply: {"duplicate": True, "receipt": RECEIPT},
    ReceiptsRequest: {"receipts": [RECEIPT]},
    ReceiptsReply: {"receipt": RECEIPT, "restored": RECEIPT},
    ProgressRequest: {"run_id": "demo-1", "exchange": 1},
    JournalHeadRequest: {"head": HEAD, "proof": True},
    JournalHeadReply: {"heard": HEAD, "statement": STATEMENT},
    Empty: {},
    ErrorReply: {"error": "trust", "message": "no", "mend": "yes"},
    SubmitRequest: {"plan_digest": D, "name": "pilot", "sites": ["a", "b"]},
    StopRequest: {"reason": "enough"},
    InviteRequest: {"name": "a", "role": "operator", "lifetime_s": 60.0},
    InviteReply: {"token": "hanse1.a.b"},
    RemoveRequest: {"force": True},
    RestoreReply: {"notice": NOTICE},
    AcknowledgeRequest: {"statement": RECEIPT},
    SignRequest: {"name": "a", "role": "collaborator", "csr": "PEM", "enrolment": ENROLMENT},
    SigningKeyRequest: {"enrolment": ENROLMENT, "rotation": ENROLMENT},
    SigningKeyReply: {"fingerprint": D},
    RosterProof: {"place": 1, "size": 3, "path": [D, D]},
    Member: MEMBER,
    Members: {"members": [MEMBER]},
    AwaitedSite: AWAITED,
    StartWait: START,
    ExchangeAttendance: ATTENDANCE,
    SuspendedSite: SUSPENDED,
    RunSuspension: SUSPENSION,
    RunStatus: STATUS,
    Runs: {"runs": [STATUS]},
    JournalRecord: RECORD,
    EventsReply: {"records": [RECORD], "status": STATUS},
    BlobState: {"complete": False, "offset": 5},
    EventsQuery: {"after": 5, "wait_s": 1.0},
}
"""By kind; a message that is not here fails `test_every_message_is_a_target`."""
