"""Every interleaving of a small run: two sites, one round, and a bounded number of faults, without chance.

A state is the run, what each site has on disk and was told, what is on the network, and how far the
workflow has come. All states that can be reached are visited, each once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Any

from tests.deterministic.core_values import examples_of, next_model, sum_of, update_of
from tests.deterministic.fault_plan import IDLE_S, Shape

from hanse.aggregator.run.site_work import assignments
from hanse.core.run.decide import Command, decide
from hanse.core.run.events import Event
from hanse.core.run.evolve import evolve
from hanse.core.run.lifecycle import AnswerPlan, Finish, Invite, Leave, Recover, RestartWorker, Resume, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.round_events import ExchangeClosed, UpdateAccepted
from hanse.core.run.run import TERMINAL, Phase, Run
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult, member_state
from hanse.core.run.timing import Tick
from hanse.core.values.model_ref import ModelRef
from hanse.errors import RunError

FIRST = ModelRef("f" * 64)
IDLE_MS = round(IDLE_S * 1000) + 1

Message = tuple[str, str, int]
"""A result on its way: `done`, `failed` or `forged`, of which site, about which exchange."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many of each fault may still happen.

    Attributes:
        crashes: The aggregator dies, between any two things that happen or right after an append.
        deaths: The workflow's process dies.
        losses: A reply is lost.
        duplicates: A message arrives again.
        failures: A task fails.
        forgeries: A result is about an exchange that there never was.
        waits: Time passes by the idle limit; three of them are the deadline.
        leaves: A site is removed.
    """

    crashes: int = 0
    deaths: int = 0
    losses: int = 0
    duplicates: int = 0
    failures: int = 0
    forgeries: int = 0
    waits: int = 0
    leaves: int = 0

    def but(self, fault: str) -> Budget | None:
        """What is left after one fault; None where it cannot be afforded."""
        have = getattr(self, fault)
        return replace(self, **{fault: have - 1}) if have else None


@dataclass(frozen=True, slots=True)
class State:
    """All of it.

    Attributes:
        kept: Results that sites have on disk, and no reply to.
        told: Results that sites know to be taken.
        network: Results under way.
        step: What the workflow does next; its place in `_CALLS`.
        up: Whether the aggregator lives.
        accepted: Every result that the journal counts.
        trained: Who took part, by the closing of the exchange.
    """

    run: Run
    left: Budget
    now_ms: int = 0
    kept: frozenset[Message] = frozenset()
    told: frozenset[Message] = frozenset()
    network: tuple[Message, ...] = ()
    step: int = 0
    up: bool = True
    accepted: frozenset[tuple[str, int]] = frozenset()
    trained: tuple[str, ...] = ()

    @property
    def key(self) -> Any:
        """What makes it another state: times count only as far as something may come due."""
        run = self.run
        exchanges = tuple(
            (
                e.number,
                e.closed,
                e.aggregated,
                e.needed,
                min(self.now_ms - e.clock_ms, 4 * IDLE_MS),
                tuple(sorted((s, m.state, m.answer is not None) for s, m in e.members.items())),
            )
            for e in run.exchanges.values()
        )
        taking_part = (tuple(sorted(run.answers.items())), tuple(run.left), run.quiet)
        standing = (run.phase, run.round_open, run.committed, run.model, run.restarts, run.last_exchange)
        waits = self.now_ms - run.clock_ms if run.phase is Phase.SUBMITTED else 0
        around = (self.kept, self.told, self.network, self.step, self.up, self.accepted, self.trained)
        return exchanges, taking_part, standing, waits, around, self.left


def begin(left: Budget, **shape: Any) -> State:
    """A run that its sites have accepted, and whose workflow begins."""
    manifest = Shape(sites=("a", "b"), rounds=1, evaluate=False, given=True, **shape).manifest()
    state = State(
        evolve(None, decide(None, Submit("demo-1", manifest, manifest.digest, "op", ("a", "b")), 0)[0], 0),
        left,
    )
    for site in ("a", "b"):
        state = _do(state, AnswerPlan(site, True))
    return state


@dataclass
class Explored:
    """What there is to reach.

    Attributes:
        states: Number of different states.
        ends: Different ends: who took part, and the model.
        stuck: States from which no end can be reached.
    """

    states: int = 0
    ends: set[tuple[tuple[str, ...], ModelRef | None]] = field(default_factory=set)
    stuck: list[State] = field(default_factory=list)


def explore(first: State) -> Explored:
    """Visit every state once, holding each against what is promised."""
    numbers, states = {first.key: 0}, [first]
    into: list[list[int]] = [[]]
    found, waiting, finished = Explored(), deque([0]), list[int]()
    while waiting:
        number = waiting.popleft()
        state = states[number]
        if state.run.phase is Phase.FINISHED:
            finished.append(number)
            found.ends.add((state.trained, state.run.model))
        for after in _successors(state):
            key = after.key
            other = numbers.get(key)
            if other is None:
                _check(after)
                other = numbers[key] = len(states)
                states.append(after)
                into.append([])
                waiting.append(other)
            into[other].append(number)
    found.states = len(states)
    alive = set(finished)
    waiting.extend(finished)
    while waiting:
        for before in into[waiting.popleft()]:
            if before not in alive:
                alive.add(before)
                waiting.append(before)
    found.stuck = [state for number, state in enumerate(states) if number not in alive]
    return found


def _check(state: State) -> None:
    run = state.run
    untrue = {(site, number) for _, site, number in state.told} - state.accepted
    assert not untrue, f"taken, and lost: {untrue}"
    for site in ("a", "b"):
        asked = {(site, exchange.number) for exchange in assignments(run, site)}
        assert not asked & state.accepted, "asked again for what was taken"
    if run.committed == 1:
        given = {site: update_of(site, 1, "train", FIRST) for site in state.trained}
        assert run.model == next_model(FIRST, sum_of(given)), "a model of others than took part"


# ------------------------------------------------------------------ what can happen


def _successors(state: State) -> Iterator[State]:
    left = state.left
    if state.up:
        yield from _deliveries(state)
        if state.run.phase in (Phase.RUNNING, Phase.SUBMITTED):
            yield from _workflow(state)
            for site in state.run.unanswered:
                yield from _may_crash(state, AnswerPlan(site, True))
        elif state.run.phase is not Phase.FINISHED:
            for after in _may_crash(state, Resume("operator")):
                yield replace(after, step=0)
        if (poorer := left.but("crashes")) is not None:
            yield replace(state, up=False, step=0, left=poorer)
        yield from _time(state)
        for site in ("a", "b"):
            if site in state.run.left:
                yield from _may_crash(state, Invite(site))
            elif (poorer := left.but("leaves")) is not None:
                yield from _may_crash(replace(state, left=poorer), Leave(site, "removed"))
    elif state.run.phase in TERMINAL:
        yield replace(state, up=True)
    else:
        yield from _may_crash(replace(state, up=True), Recover())
    yield from _sites(state)


def _sites(state: State) -> Iterator[State]:
    """What a site does: it performs what it is asked, and says what it has, again and again."""
    for site in ("a", "b"):
        kept = {message[2]: message for message in state.kept if message[1] == site}
        asked = {exchange.number for exchange in assignments(state.run, site)} if state.up else set()
        for number in asked - kept.keys():
            yield replace(state, kept=state.kept | {("done", site, number)})
            if (poorer := state.left.but("failures")) is not None:
                yield replace(state, kept=state.kept | {("failed", site, number)}, left=poorer)
        for message in kept.values():
            if message not in state.network:
                yield _sent(state, message)
        if asked and (poorer := state.left.but("forgeries")) is not None:
            yield _sent(replace(state, left=poorer), ("forged", site, max(asked) + 7))


def _sent(state: State, message: Message) -> State:
    return replace(state, network=tuple(sorted((*state.network, message))))


def _deliveries(state: State) -> Iterator[State]:
    for place, message in enumerate(state.network):
        rest = replace(state, network=state.network[:place] + state.network[place + 1 :])
        if (poorer := state.left.but("duplicates")) is not None:
            yield from _taken(replace(state, left=poorer), message)
        yield from _taken(rest, message)


def _taken(state: State, message: Message) -> Iterator[State]:
    """A result arrives; its reply does too, or is lost, with the aggregator or alone."""
    kind, site, number = message
    try:
        after = _do(state, _verified(state.run, message))
        told = state.told | {message} if kind == "done" else state.told
    except RunError as error:
        after, told = _do(state, RefuseResult(number, site, error.code, str(error))), state.told
        assert after.accepted == state.accepted
        members = {n: e.members for n, e in state.run.exchanges.items()}
        assert {n: e.members for n, e in after.run.exchanges.items()} == members, "a refused result counted"
    yield replace(after, kept=after.kept - {message}, told=told)
    if (poorer := after.left.but("losses")) is not None:
        yield replace(after, left=poorer)
    if (poorer := after.left.but("crashes")) is not None:
        yield replace(after, up=False, step=0, left=poorer)


def _verified(run: Run, message: Message) -> Command:
    kind, site, number = message
    member_state(run, number, site)
    if kind == "failed":
        return FailTask(number, site, "failed")
    return AcceptResult(number, site, examples_of(site), {}, update_of(site, 1, "train", FIRST))


def _time(state: State) -> Iterator[State]:
    """The idle limit passes, for some of those who are awaited."""
    poorer = state.left.but("waits")
    if poorer is None or state.run.phase is not Phase.RUNNING:
        return
    later = replace(state, now_ms=state.now_ms + IDLE_MS, left=poorer)
    for exchange in state.run.open_exchanges():
        awaited = exchange.awaited
        for some in chain.from_iterable(combinations(awaited, size) for size in range(len(awaited) + 1)):
            progress = {(exchange.number, site): later.now_ms for site in some}
            yield from _may_crash(later, Tick(progress))


def _workflow(state: State) -> Iterator[State]:
    call = _call(state) if state.run.phase is Phase.RUNNING else None
    if call is None:
        return
    for after in _may_crash(state, call):
        yield replace(after, step=after.step + 1) if after.up else after
    if (poorer := state.left.but("deaths")) is not None:
        for after in _may_crash(replace(state, left=poorer), RestartWorker("killed")):
            yield replace(after, step=0)


def _call(state: State) -> Command | None:
    """What the workflow does next; None where it waits."""
    run = state.run
    # It begins where the last commit left it.
    step = max(state.step, 0 if run.committed < 0 else 1 if run.committed == 0 else 5)
    if step > 2 and run.committed < 1 and not (run.in_round() and run.in_round()[0].closed):
        return None
    match step:
        case 0:
            return Commit(0, FIRST)
        case 1:
            return OpenRound(1)
        case 2:
            return OpenExchange(1, 0, "train", FIRST)
        case 3:
            exchange = run.in_round()[0]
            return RecordAggregate(
                exchange.number, exchange.answered, _examples(exchange.answered), _sum(run)
            )
        case 4:
            return Commit(1, next_model(FIRST, _sum(run)))
        case _:
            return Finish()


def _sum(run: Run) -> str:
    exchange = run.in_round()[0]
    answers = {site: exchange.members[site].answer for site in exchange.answered}
    return sum_of({site: answer.update or "" for site, answer in answers.items() if answer is not None})


def _examples(sites: tuple[str, ...]) -> int:
    return sum(examples_of(site) for site in sites)


def _may_crash(state: State, command: Command) -> Iterator[State]:
    """A command is carried out, and the aggregator may die when its events are written."""
    after = _do(state, command)
    yield after
    if after.run is not state.run and (poorer := after.left.but("crashes")) is not None:
        yield replace(after, up=False, step=0, left=poorer)


def _do(state: State, command: Command) -> State:
    run, accepted, trained = state.run, state.accepted, state.trained
    for event in decide(run, command, state.now_ms):
        run = evolve(run, event, state.now_ms)
        accepted, trained = _noted(event, accepted, trained)
    return replace(state, run=run, accepted=accepted, trained=trained)


def _noted(
    event: Event, accepted: frozenset[tuple[str, int]], trained: tuple[str, ...]
) -> tuple[frozenset[tuple[str, int]], tuple[str, ...]]:
    match event:
        case UpdateAccepted():
            assert (event.site, event.exchange) not in accepted, "counted twice"
            return accepted | {(event.site, event.exchange)}, trained
        case ExchangeClosed():
            return accepted, event.answered
        case _:
            return accepted, trained
