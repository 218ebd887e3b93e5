"""Masked sums under hostile schedules: members that restart, lie, fail, leave and come back with other keys.

Of every history the same is required: no site has two masked vectors for one roster, a sum is over all
members of a cell at one attempt, numbers rise, an exchange ends, and the state is the fold of the events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.core.run.masked_runs import (
    CELLS,
    SITES,
    MaskedDriver,
    cell_name,
    key_of,
    ready_body,
    signer_of,
)
from tests.unit.core.run.runs import MODEL, NEXT_MODEL

from hanse.core.run.decide import Command
from hanse.core.run.evolve import evolve
from hanse.core.run.exchange import count_states
from hanse.core.run.lifecycle import AnswerPlan, Fail, Invite, Leave, Recover, RestartWorker, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.round_events import ExchangeClosed, UpdateAccepted
from hanse.core.run.run import Phase, Run
from hanse.core.run.sum_rules.checks import place_of
from hanse.core.run.sums.commands import RecordSum, TakeReady
from hanse.core.run.sums.events import SiteReady, SumOpened
from hanse.core.run.sums.standing import CellCounts
from hanse.core.run.tasks import AcceptResult, FailTask, StartTask
from hanse.core.run.timing import Tick
from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.place import SumPlace
from hanse.errors import HanseError, TamperedError

KEYS = {site: (signer_of(site), sha256(f"other key of {site}".encode())) for site in SITES}

Step = Callable[[MaskedDriver], Command]
"""A command, made when its turn comes: an honest member answers what it is asked."""


Act = Callable[[MaskedDriver], None]


def _ready(number: int | None, site: str, ahead: int, twin: int, numbers: int) -> Step:
    """A READY in an exchange, else in the latest, with one of two keys and one of two vectors.

    Its number is `ahead` of the present attempt.
    """

    def step(driver: MaskedDriver) -> Command:
        exchange = number or _latest(driver)
        found = driver.state.exchanges.get(exchange)
        present = 1 if found is None or site not in found.cell_by_site else found.standing_of(site).attempt
        attempt = min(max(present + ahead, 1), 16)
        signer = driver.state.roster.get(site) or signer_of(site)
        body = ready_body(
            site,
            attempt,
            exchange=exchange,
            signer=signer,
            public=sha256(f"{site} {attempt} {twin} {signer}".encode()),
            commitment=sha256(f"{site} {numbers}".encode()),
        )
        statement = SignedStatement(body=body.model_dump(), key=key_of(site), signature="")
        return TakeReady(exchange, site, cell_name(site), attempt, statement, body.commitment)

    return step


def _masked(number: int | None, site: str, vector: int, *, late: bool) -> Step:
    """A masked vector for the present roster, one of two; `late`: for another roster."""

    def step(driver: MaskedDriver) -> Command:
        exchange = number or _latest(driver)
        found = driver.state.exchanges.get(exchange)
        standing = None if found is None or site not in found.cell_by_site else found.standing_of(site)
        attempt, rho = (1, None) if standing is None else (standing.attempt, standing.rho)
        rho = sha256(b"another roster") if late or rho is None else rho
        place = SumPlace(cell=cell_name(site), attempt=attempt, rho=rho)
        stated = SignedStatement(body={"secure_sum": place.model_dump()}, key=key_of(site), signature="")
        digest = sha256(f"{site} {rho} {vector}".encode())
        return AcceptResult(exchange, site, 0, {}, digest, stated, place)

    return step


def _sum(exchange: int, cell: str) -> Step:
    def step(driver: MaskedDriver) -> Command:
        found = driver.state.exchanges.get(exchange)
        standing = None if found is None else found.sums.get(cell)
        if standing is None:
            return RecordSum(exchange, cell, 1, "0" * 64, {}, "5" * 64)
        rho = standing.rho or "0" * 64
        return RecordSum(exchange, cell, standing.attempt, rho, dict(standing.masked), "5" * 64)

    return step


def _attempt(driver: MaskedDriver, command: Command, after_s: float = 0.0) -> None:
    """Carry a command out, or have it refused; a run writes no journal that it would not read."""
    try:
        driver.do(command, after_s=after_s)
    except TamperedError:
        raise
    except HanseError:
        pass


def _latest(driver: MaskedDriver) -> int:
    return max(driver.state.exchanges, default=1)


def _honest(site: str, *, lost_key: bool) -> Act:
    """What a member does that is asked; one that restarted states a further attempt."""

    def act(driver: MaskedDriver) -> None:
        number = _latest(driver)
        found = driver.state.exchanges.get(number)
        if found is None or site not in found.cell_by_site:
            return
        standing = found.standing_of(site)
        if site in standing.ready and not lost_key:
            _attempt(driver, _masked(number, site, 0, late=False)(driver))
        else:
            _attempt(driver, _ready(number, site, int(lost_key), 0, 0)(driver))

    return act


def _cell(sites: str) -> Act:
    """All members of a cell, to its end."""

    def act(driver: MaskedDriver) -> None:
        for site in (*sites, *sites):
            _honest(site, lost_key=False)(driver)

    return act


def _interrupted(first: Command, site: str, key: int) -> Act:
    """The run ends early and is resumed; a site may have another key then."""

    def act(driver: MaskedDriver) -> None:
        _attempt(driver, first)
        _attempt(driver, Fail("workflow", "a bug"))
        _attempt(driver, Resume("operator", {site: KEYS[site][key]}))
        for other in SITES:
            if other not in driver.state.taking_part:
                signer = KEYS[other][key if other == site else 0]
                _attempt(driver, Invite(other, signer))
                _attempt(driver, AnswerPlan(other, accepted=True, signer=signer))
        number = driver.state.committed + 1
        _attempt(driver, OpenRound(number))
        _attempt(driver, OpenExchange(number, 0, "train", MODEL))

    return act


def _finished(driver: MaskedDriver) -> None:
    """The sums are computed, and the round is committed."""
    number = _latest(driver)
    for cell in CELLS:
        _attempt(driver, _sum(number, cell)(driver))
    _attempt(driver, RecordAggregate(number, tuple(SITES), 0, "5" * 64))
    _attempt(driver, Commit(1, NEXT_MODEL))
    _attempt(driver, OpenRound(2))
    _attempt(driver, OpenExchange(2, 0, "train", MODEL))


def _acting(step: Step) -> Act:
    return lambda driver: _attempt(driver, step(driver))


def _later(after_s: float) -> Act:
    return lambda driver: _attempt(driver, Tick(), after_s)


_NUMBER = st.sampled_from((1, 1, 1, 2, 3))
_SITE = st.sampled_from(SITES)
_RARE = st.sampled_from((0, 0, 0, 0, 0, 1))
_TWIN = st.integers(0, 1)
_READY = st.builds(_ready, st.none(), _SITE, st.sampled_from((0, 0, 0, 1, -1, 15)), _TWIN, _RARE)
_MASKED = st.builds(_masked, st.none(), _SITE, _TWIN, late=st.sampled_from((False, False, False, True)))
_SUM = st.builds(_sum, _NUMBER, st.sampled_from(tuple(CELLS)))
_FAILING: st.SearchStrategy[Command] = st.one_of(
    st.builds(FailTask, _NUMBER, _SITE, st.just("no memory")),
    st.builds(Leave, _SITE, st.just("removed")),
)
_OF_RUN: st.SearchStrategy[Command] = st.one_of(
    st.builds(lambda site, key: Invite(site, KEYS[site][key]), _SITE, st.integers(0, 1)),
    st.builds(
        lambda site, key: AnswerPlan(site, accepted=True, signer=KEYS[site][key]), _SITE, st.integers(0, 1)
    ),
    st.builds(StartTask, _NUMBER, _SITE),
    st.just(Recover()),
    st.just(RestartWorker("died")),
    st.just(Stop("operator")),
    st.just(Resume("operator")),
    st.builds(OpenRound, st.integers(1, 2)),
    st.builds(OpenExchange, st.integers(1, 2), st.integers(0, 1), st.just("train"), st.just(MODEL)),
    st.builds(RecordAggregate, _NUMBER, st.just(tuple(SITES)), st.just(0), st.just("5" * 64)),
    st.builds(Commit, st.integers(1, 2), st.just(NEXT_MODEL)),
)
_STEP = st.one_of(_READY, _MASKED, _SUM, _OF_RUN.map(lambda command: lambda _: command))
_HONEST = st.builds(_honest, _SITE, lost_key=_RARE.map(bool))
_CELL = st.sampled_from(("abc", "def")).map(_cell)
ACTS: st.SearchStrategy[Act] = st.one_of(
    *(_HONEST, _HONEST, _HONEST, _HONEST, _HONEST, _HONEST),
    *(_CELL, _CELL),
    st.builds(_interrupted, _FAILING, _SITE, _RARE),
    *(_STEP.map(_acting), _READY.map(_acting), _MASKED.map(_acting)),
    _FAILING.map(lambda command: lambda driver: _attempt(driver, command)),
    st.just(_finished),
    st.sampled_from((1.0, 1.0, 31.0, 100.0)).map(_later),
)
_HOSTILE = st.one_of(_READY.map(_acting), _MASKED.map(_acting))
_BEGIN = st.lists(st.one_of(_HONEST, _HONEST, _HOSTILE, _CELL), min_size=1, max_size=12)
_REST = st.lists(ACTS, min_size=8, max_size=25)
HISTORIES = st.tuples(
    st.sampled_from(("fail", "leave_out")), st.builds(lambda begin, rest: begin + rest, _BEGIN, _REST)
)
History = tuple[str, list[Act]]


def driven(history: History) -> MaskedDriver:
    incomplete, acts = history
    driver = MaskedDriver(incomplete)
    for act in acts:
        act(driver)
    return driver


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES)
def test_the_state_is_the_fold_of_the_events(history: History) -> None:
    driver = driven(history)

    run: Run | None = None
    for event, time_ms in driver.history:
        run = evolve(run, event, time_ms)

    assert run == driver.run
    for exchange in driver.state.exchanges.values():
        assert exchange.counts == count_states(exchange.members)
        assert exchange.cells == CellCounts.of(exchange.sums.values())


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES)
def test_no_site_has_two_masked_vectors_for_one_roster_and_its_numbers_rise(history: History) -> None:
    events = [event for event, _ in driven(history).history]

    vectors, attempts = defaultdict(set), defaultdict(list)
    commitments = defaultdict(set)
    for event in events:
        if isinstance(event, UpdateAccepted) and (place := place_of(event.statement)) is not None:
            vectors[event.site, place.rho].add(event.update)
        if isinstance(event, SiteReady):
            attempts[event.exchange, event.site].append(event.attempt)
            commitments[event.exchange, event.site].add(event.statement.body["commitment"])
    assert all(len(found) == 1 for found in vectors.values())
    assert all(found == sorted({*found}) for found in attempts.values())
    assert all(len(found) == 1 for found in commitments.values())


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES)
def test_a_sum_is_over_all_members_of_a_cell_at_one_attempt(history: History) -> None:
    driver = driven(history)

    came: dict[tuple[int, str], tuple[SumPlace | None, str | None]] = {}
    for event, _ in driver.history:
        if isinstance(event, UpdateAccepted):
            came[event.exchange, event.site] = place_of(event.statement), event.update
        if isinstance(event, SumOpened):
            place = SumPlace(cell=event.cell, attempt=event.attempt, rho=event.rho)
            assert {*event.masked} == {*driver.state.plan.cells[event.cell]}
            for site, digest in event.masked.items():
                assert came[event.exchange, site] == (place, digest)
        if isinstance(event, ExchangeClosed):
            cells = {cell_name(site) for site in event.answered}
            assert {*event.answered} == {s for cell in cells for s in driver.state.plan.cells[cell]}
            assert event.answered, "an exchange without a sum does not close"


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES)
def test_an_exchange_ends_at_its_deadline(history: History) -> None:
    driver = driven(history)

    driver.do(Tick(), after_s=driver.state.plan.cohort.deadline)

    assert driver.state.phase is not Phase.RUNNING or not driver.state.open_exchanges()


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES, _STEP)
def test_a_command_repeated_at_once_adds_nothing(history: History, step: Step) -> None:
    driver = driven(history)
    command = step(driver)
    try:
        driver.do(command)
        again = driver.do(command)
    except HanseError:
        return

    assert again == [] or isinstance(command, RestartWorker | Recover | Resume)


@settings(max_examples=examples(150), deadline=None)
@given(HISTORIES)
def test_after_a_resume_with_all_sites_a_further_attempt_completes_every_cell(history: History) -> None:
    driver = driven(history)
    if driver.state.committed or driver.state.phase not in (Phase.RUNNING, Phase.FAILED, Phase.STOPPED):
        return
    _interrupted(Stop("operator"), "a", 0)(driver)
    found = [exchange for exchange in driver.state.open_exchanges() if exchange.index == 0]
    assert found or driver.state.in_round()[0].closed
    for exchange in found:
        for cell in exchange.sums.values():
            if cell.complete or cell.attempt == 16 or (cell.left_out and history[0] == "leave_out"):
                continue
            for site in cell.members:
                first = cell.commitments.get(site)
                numbers = next((n for n in (0, 1) if first == sha256(f"{site} {n}".encode())), 0)
                now = driver.state.exchanges[exchange.number].sums[cell.cell].attempt
                driver.do(_ready(exchange.number, site, int(now == cell.attempt), 1, numbers)(driver))
            for site in cell.members:
                driver.do(_masked(exchange.number, site, 0, late=False)(driver))
            assert driver.state.exchanges[exchange.number].sums[cell.cell].complete
