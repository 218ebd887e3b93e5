"""Any commands to a run of a few sites, for tests by random histories."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE

from hanse.core.run.decide import Command
from hanse.core.run.lifecycle import AnswerPlan, Invite, Leave, Recover, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.suspension import Reinstate
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult, StartTask
from hanse.core.run.timing import Tick

SITES = "abcd"
COHORT = {
    "deadline": 100,
    "idle_limit": 30,
    "approvals": 500,
    "absent": 50,
    "quorum": 0.5,
    "grace": 10,
    "set_aside_after": 1,
}

_NUMBER = st.integers(1, 4)
_SITE = st.sampled_from(SITES)
KEYS = ("1" * 64, "2" * 64)
_KEY = st.sampled_from((None, *KEYS))

COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(AnswerPlan, _SITE, accepted=st.booleans(), signer=_KEY),
    st.builds(Leave, _SITE, st.just("removed")),
    st.builds(Invite, _SITE, _KEY),
    st.builds(OpenRound, st.integers(0, 3)),
    st.builds(OpenExchange, st.integers(0, 3), st.integers(0, 1), st.just("train"), st.just(MODEL)),
    st.builds(OpenStream, st.just("train"), st.just(MODEL), st.frozensets(_NUMBER, max_size=2)),
    st.builds(StartTask, _NUMBER, _SITE),
    st.builds(AcceptResult, _NUMBER, _SITE, st.just(10), st.just({}), st.just(UPDATE)),
    st.builds(FailTask, _NUMBER, _SITE, st.just("no memory")),
    st.builds(RefuseResult, _NUMBER, _SITE, st.just("late"), st.just("late"), st.none() | st.just(5)),
    st.builds(RecordAggregate, _NUMBER, st.just(("a",)), st.just(10), st.just(UPDATE)),
    st.builds(Commit, st.integers(0, 3), st.sampled_from([MODEL, NEXT_MODEL])),
    st.just(Tick()),
    st.just(Tick(seen_ms={"a": 40_000, "c": 0})),
    st.just(Recover()),
    st.builds(Stop, st.just("operator")),
    st.builds(Resume, st.just("operator"), st.dictionaries(_SITE, st.sampled_from(KEYS), max_size=2)),
    st.builds(Reinstate, _SITE, st.just("operator")),
)

HISTORIES = st.lists(st.tuples(COMMANDS, st.sampled_from([0, 1, 11, 31, 101])), max_size=40)
"""Commands, each with the seconds that pass before."""
